//! What was accepted and is not stored yet.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    admin::is_paused,
    error::{Outcome, failed},
    rows::{signed, unsigned},
    schema::{job_counts, jobs},
};
use crate::{
    domain::{AppId, Entry, Kind, Message, MessageKey, Page, Revision},
    stores::{KindStats, Result, payload},
};

#[derive(QueryableByName)]
struct Pending {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    payload: String,
}

/// Which list is asked for: `chat` 0 is the chats of the application, else it is the messages of that chat.
pub(super) fn entries(
    connection: &mut SqliteConnection,
    app: AppId,
    chat: u64,
    page: &Page,
) -> Outcome<Vec<Entry>> {
    let clamp = |number: u64| signed(number.min(i64::MAX as u64));
    // Of a group, SQLite takes the other columns from the row that has the maximum.
    let query = sql_query(format!(
        "SELECT MAX(id) AS id, payload FROM jobs \
         WHERE app = ? AND chat = ? AND number > ? AND number < ? AND superseded = 0 \
         GROUP BY number ORDER BY number {} LIMIT ?",
        if page.from_the_end() { "DESC" } else { "ASC" }
    ));
    let rows: Vec<Pending> = query
        .bind::<Text, _>(app.to_string())
        .bind::<BigInt, _>(signed(chat))
        .bind::<BigInt, _>(clamp(page.after.unwrap_or(0)))
        .bind::<BigInt, _>(page.before.map_or(i64::MAX, clamp))
        .bind::<BigInt, _>(signed(page.limit as u64))
        .load(connection)?;
    let mut entries = rows
        .into_iter()
        .map(|row| read(row.id, &row.payload))
        .collect::<Result<Vec<_>>>()?;
    if page.from_the_end() {
        entries.reverse();
    }
    Ok(entries)
}

/// The newest write to a message.
pub(super) fn message(
    connection: &mut SqliteConnection,
    key: MessageKey,
) -> Outcome<Option<Message>> {
    let row: Option<(i64, String)> = jobs::table
        .filter(jobs::app.eq(key.chat.app.to_string()))
        .filter(jobs::chat.eq(signed(key.chat.number)))
        .filter(jobs::number.eq(signed(key.number)))
        .filter(jobs::superseded.eq(0))
        .order(jobs::id.desc())
        .select((jobs::id, jobs::payload))
        .first(connection)
        .optional()?;
    let entry = row.map(|(id, payload)| read(id, &payload)).transpose()?;
    Ok(entry.and_then(Entry::into_message))
}

/// An application's creation.
pub(super) fn application(connection: &mut SqliteConnection, app: AppId) -> Outcome<Option<Entry>> {
    let row: Option<(i64, String)> = jobs::table
        .filter(jobs::app.eq(app.to_string()))
        .filter(jobs::chat.eq(0))
        .filter(jobs::number.eq(0))
        .order(jobs::id.desc())
        .select((jobs::id, jobs::payload))
        .first(connection)
        .optional()?;
    Ok(row.map(|(id, payload)| read(id, &payload)).transpose()?)
}

fn read(id: i64, payload: &str) -> Result<Entry> {
    payload::read(Revision(unsigned(id)), payload).map_err(failed)
}

/// How much is where.
pub(super) fn stats(connection: &mut SqliteConnection, now: i64) -> Outcome<Vec<KindStats>> {
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
