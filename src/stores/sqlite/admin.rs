//! The operator's view: listing jobs, and changing what becomes of one.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    error::{Outcome, failed},
    rows::{signed, unsigned},
    schema::{jobs, paused_kinds},
};
use crate::{
    domain::{Kind, Revision, time::from_millis},
    stores::{JobInfo, JobState, Result, jobs::target, payload::Head},
};

#[derive(QueryableByName)]
#[diesel(table_name = jobs)]
struct Row {
    id: i64,
    kind: String,
    state: String,
    app: String,
    chat: i64,
    number: i64,
    accepted_at: i64,
    due: Option<i64>,
    tries: i64,
    crashes: i64,
    error: Option<String>,
    #[diesel(sql_type = Text)]
    head: String,
    #[diesel(sql_type = Nullable<Text>)]
    payload: Option<String>,
}

/// The head of a payload, all that comes before its text, is shorter than this, whatever its request is called.
const COLUMNS: &str = "id, kind, state, app, chat, number, accepted_at, due, tries, crashes, error, \
                       substr(payload, 1, 1000) AS head";

impl Row {
    fn read(self) -> Result<JobInfo> {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(JobInfo {
            id: Revision(unsigned(self.id)),
            state: JobState::from_name(&self.state)
                .ok_or_else(|| failed(format!("{:?} is no state of a job", self.state)))?,
            target: target(&self.app, unsigned(self.chat), unsigned(self.number)),
            kind: self.kind,
            accepted_at: from_millis(self.accepted_at),
            due: self.due.map(from_millis),
            tries: count(self.tries),
            crashes: count(self.crashes),
            error: self.error,
            request: Head::read(&self.head).request,
            payload: self.payload,
        })
    }
}

/// The jobs in one state, in the order of their ids.
pub(super) fn list(
    connection: &mut SqliteConnection,
    state: JobState,
    kind: Option<Kind>,
    after: Option<Revision>,
    limit: usize,
) -> Outcome<Vec<JobInfo>> {
    // Written out, as a partial index is not used for what is bound.
    let kind = kind.map_or_else(String::new, |kind| format!("AND kind = '{}'", kind.name()));
    let rows: Vec<Row> = sql_query(format!(
        "SELECT {COLUMNS}, NULL AS payload FROM jobs WHERE state = '{}' {kind} AND id > ? ORDER BY id LIMIT ?",
        state.name()
    ))
    .bind::<BigInt, _>(after.map_or(0, |id| signed(id.0)))
    .bind::<BigInt, _>(signed(limit as u64))
    .load(connection)?;
    Ok(rows.into_iter().map(Row::read).collect::<Result<_>>()?)
}

/// One job, with its payload.
pub(super) fn job(connection: &mut SqliteConnection, id: Revision) -> Outcome<Option<JobInfo>> {
    let row: Option<Row> = sql_query(format!("SELECT {COLUMNS}, payload FROM jobs WHERE id = ?"))
        .bind::<BigInt, _>(signed(id.0))
        .get_result(connection)
        .optional()?;
    Ok(row.map(Row::read).transpose()?)
}

/// A dead letter or a delayed job waits again, as if it had never failed; false if it is neither.
pub(super) fn retry(connection: &mut SqliteConnection, id: Revision) -> Outcome<bool> {
    let waits = sql_query(
        "UPDATE jobs SET state = 'waiting', due = NULL, tries = 0, crashes = 0, error = NULL \
         WHERE id = ? AND state IN ('dead', 'delayed')",
    )
    .bind::<BigInt, _>(signed(id.0))
    .execute(connection)?;
    Ok(waits > 0)
}

/// Forgets a dead letter; false if it is none.
pub(super) fn kill(connection: &mut SqliteConnection, id: Revision) -> Outcome<bool> {
    let killed = sql_query("DELETE FROM jobs WHERE id = ? AND state = 'dead'")
        .bind::<BigInt, _>(signed(id.0))
        .execute(connection)?;
    Ok(killed > 0)
}

/// Stops or resumes the claiming of a kind.
pub(super) fn pause(connection: &mut SqliteConnection, kind: Kind, paused: bool) -> Outcome<()> {
    if paused {
        diesel::insert_or_ignore_into(paused_kinds::table)
            .values(paused_kinds::kind.eq(kind.name()))
            .execute(connection)?;
    } else {
        diesel::delete(paused_kinds::table.find(kind.name())).execute(connection)?;
    }
    Ok(())
}

/// Whether a kind is not to be claimed.
pub(super) fn is_paused(connection: &mut SqliteConnection, kind: Kind) -> QueryResult<bool> {
    let row = paused_kinds::table.find(kind.name());
    diesel::select(diesel::dsl::exists(row)).get_result(connection)
}
