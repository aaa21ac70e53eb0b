//! The operator's view: listing jobs, and changing what becomes of one.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    Embedded, QueueSettings,
    enqueue::Transaction,
    error::{Outcome, failed},
    new_job::NewJob,
    reader,
    rows::{signed, unsigned},
    schema::{job_counts, jobs, paused_kinds},
};
use crate::{
    domain::{Action, AppId, Kind, Revision, Target, Write, time::from_millis},
    stores::{
        JobInfo, JobState, KindStats, Result,
        call::{Call, call},
        payload::{self, Head},
    },
};

impl Embedded {
    pub(crate) async fn stats(&self) -> Result<Vec<KindStats>> {
        let now = self.queue.clock.now();
        let stats = move |connection: &mut SqliteConnection| stats(connection, now);
        self.scans.run(call!("queue", "stats"), stats).await
    }

    pub(crate) async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        // Written out, as a partial index is not used for what is bound.
        let kind = kind.map_or_else(String::new, |kind| format!("AND kind = '{}'", kind.name()));
        let query = format!(
            "SELECT {COLUMNS}, NULL AS payload FROM jobs WHERE state = '{}' {kind} AND id > ? ORDER BY id LIMIT ?",
            state.name()
        );
        let list = move |connection: &mut SqliteConnection| {
            let rows: Vec<Row> = sql_query(query)
                .bind::<BigInt, _>(after.map_or(0, |id| signed(id.0)))
                .bind::<BigInt, _>(signed(limit as u64))
                .load(connection)?;
            Ok(rows.into_iter().map(Row::read).collect::<Result<_>>()?)
        };
        self.scans.run(call!("queue", "jobs"), list).await
    }

    pub(crate) async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        let read = move |connection: &mut SqliteConnection| {
            let query = sql_query(format!("SELECT {COLUMNS}, payload FROM jobs WHERE id = ?"));
            let row = query
                .bind::<BigInt, _>(signed(id.0))
                .get_result::<Row>(connection);
            Ok(row.optional()?.map(Row::read).transpose()?)
        };
        self.scans.run(call!("queue", "job"), read).await
    }

    pub(crate) async fn retry(&self, id: Revision) -> Result<bool> {
        let query = "UPDATE jobs SET state = 'waiting', due = NULL, tries = 0, crashes = 0, error = NULL \
                     WHERE id = ? AND state IN ('dead', 'delayed')";
        self.change(call!("queue", "retry"), query, id).await
    }

    pub(crate) async fn discard(&self, id: Revision) -> Result<bool> {
        let queue = self.queue;
        let discard = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| discard(connection, &queue, id))
        };
        let discarded = self.writer.run(call!("queue", "kill"), discard).await?;
        if let Some(kind) = discarded.accepted {
            self.wakeups.enqueued(kind);
        }
        Ok(discarded.done)
    }

    /// Changes one job; false if it is in no state for that.
    async fn change(&self, call: &Call, query: &'static str, id: Revision) -> Result<bool> {
        let change = move |connection: &mut SqliteConnection| {
            let query = sql_query(query).bind::<BigInt, _>(signed(id.0));
            Ok(query.execute(connection)? > 0)
        };
        self.writer.run(call, change).await
    }

    pub(crate) async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        let set = move |connection: &mut SqliteConnection| {
            if paused {
                diesel::insert_or_ignore_into(paused_kinds::table)
                    .values(paused_kinds::kind.eq(kind.name()))
                    .execute(connection)?;
            } else {
                diesel::delete(paused_kinds::table.find(kind.name())).execute(connection)?;
            }
            Ok(())
        };
        self.writer.run(call!("queue", "set_paused"), set).await
    }
}

/// Outcome of discarding a job.
#[derive(Default)]
struct Discarded {
    /// Tells whether it was a dead letter that can be discarded.
    done: bool,
    /// Kind of the write that was accepted for it.
    accepted: Option<Kind>,
}

/// Discards a dead letter. Other writes may refer to what a creation gave out a number for, so discarding it is a deletion.
/// Readers saw the text of an update, so discarding it is another update, with the text before. Both are accepted also if the
/// queue is full: the dead letter leaves it.
fn discard(
    connection: &mut SqliteConnection,
    queue: &QueueSettings,
    id: Revision,
) -> Outcome<Discarded> {
    let job = jobs::table
        .find(signed(id.0))
        .filter(jobs::state.eq("dead"));
    let found: Option<(String, String, i64, i64)> = job
        .select((jobs::kind, jobs::app, jobs::chat, jobs::number))
        .first(connection)
        .optional()?;
    let Some((kind, app, chat, number)) = found else {
        return Ok(Discarded::default());
    };
    let mut discarded = Discarded {
        done: true,
        accepted: None,
    };
    let target = AppId::parse(&app).map(|app| Target {
        app,
        chat: unsigned(chat),
        number: unsigned(number),
    });
    let (kind, Some(target)) = (Kind::from_name(&kind), target) else {
        diesel::delete(job).execute(connection)?;
        return Ok(discarded);
    };
    let mut transaction = Transaction::open(connection, queue)?;
    let write = match kind.map(Kind::action) {
        Some(Action::Delete) => return Ok(Discarded::default()),
        Some(Action::Create) => kind.and_then(|kind| Write::deletion_of(kind, target)),
        Some(Action::Update) => {
            let key = target.message();
            let present = reader::message(connection, key)?;
            diesel::delete(job).execute(connection)?;
            match present.is_some_and(|present| present.revision == id) {
                true => reader::message(connection, key)?
                    .as_ref()
                    .map(Write::rewrite_message),
                false => None,
            }
        }
        None => None,
    };
    if let Some(write) = write {
        let write = NewJob::new(&write, None);
        if transaction.find_target(connection, &write)?.is_some() {
            transaction.accept(connection, &write)?;
            discarded.accepted = Some(write.kind);
        }
    }
    transaction.close(connection)?;
    diesel::delete(job).execute(connection)?;
    Ok(discarded)
}

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

/// Selected columns. The head of a payload, all members before the text, has less than 4,000 characters.
const COLUMNS: &str = "id, kind, state, app, chat, number, accepted_at, due, tries, crashes, error, \
                       substr(payload, 1, 4000) AS head";

impl Row {
    fn read(self) -> Result<JobInfo> {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(JobInfo {
            id: Revision(unsigned(self.id)),
            state: JobState::from_name(&self.state)
                .ok_or_else(|| failed(format!("{:?} is no state of a job", self.state)))?,
            target: payload::target(&self.app, unsigned(self.chat), unsigned(self.number)),
            kind: self.kind,
            accepted_at: from_millis(self.accepted_at),
            due: self.due.map(from_millis),
            tries: count(self.tries),
            crashes: count(self.crashes),
            error: self.error,
            origin: Head::read(&self.head).origin,
            payload: self.payload,
        })
    }
}

/// Tells whether a kind is paused.
pub(super) fn is_paused(connection: &mut SqliteConnection, kind: Kind) -> QueryResult<bool> {
    let row = paused_kinds::table.find(kind.name());
    diesel::select(diesel::dsl::exists(row)).get_result(connection)
}

/// Counts of each kind.
fn stats(connection: &mut SqliteConnection, now: i64) -> Outcome<Vec<KindStats>> {
    #[derive(QueryableByName)]
    struct Oldest {
        #[diesel(sql_type = BigInt)]
        accepted_at: i64,
    }
    let counts: Vec<(String, String, i64)> = job_counts::table.load(connection)?;
    let count = |kind: Kind, state: &str| {
        let found = counts
            .iter()
            .find(|(k, s, _)| k == kind.name() && s == state);
        found.map_or(0, |(_, _, jobs)| unsigned(*jobs))
    };
    let mut stats = Vec::with_capacity(Kind::ALL.len());
    for kind in Kind::ALL {
        let oldest: Option<Oldest> = sql_query(
            "SELECT accepted_at FROM jobs WHERE state = 'waiting' AND kind = ? ORDER BY id LIMIT 1",
        )
        .bind::<Text, _>(kind.name())
        .get_result(connection)
        .optional()?;
        stats.push(KindStats {
            kind: kind.name(),
            waiting: count(kind, "waiting"),
            leased: count(kind, "leased"),
            delayed: count(kind, "delayed"),
            dead: count(kind, "dead"),
            oldest_ms: oldest.map_or(0, |oldest| unsigned(now - oldest.accepted_at)),
            paused: is_paused(connection, kind)?,
        });
    }
    Ok(stats)
}
