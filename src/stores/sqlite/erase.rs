//! Erasing the content of deleted chats and applications, and the messages of a sender, in bounded steps. Each step is one
//! transaction, so a step that is killed is repeated as a whole.

use diesel::{
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    Embedded, QueueSettings, compact, deletion, erase_sender,
    erasures::{Progress, Unfinished},
    error::{Failure, Outcome},
    fts_erase,
    rows::{chat_span, signed, unsigned},
    schema::{chat_numbers, chats, erasures, messages, state, user_revocations},
};
use crate::{
    domain::AppId,
    stores::{Result, call::call},
};

/// Maximum number of messages that one step erases, so that accepted writes need not wait longer than for a worker's batch.
const STEP: usize = 200;

impl Embedded {
    pub(crate) async fn erase_sender(&self, app: AppId, user: &str) -> Result<u64> {
        let (app, user, now) = (app.to_string(), user.to_owned(), self.queue.clock.now());
        let request = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let until = state::table.select(state::revision).first(connection)?;
                let id = deletion::request_erasure(connection, &app, 0, Some(&user), until, now)?;
                Outcome::Ok(unsigned(id))
            })
        };
        self.writer
            .run(call!("records", "erase_sender"), request)
            .await
    }

    /// After the last erasure, removes what the file still holds of the erased texts.
    pub(crate) async fn erase_step(&self, limit: usize) -> Result<bool> {
        let (queue, limit) = (self.queue, limit.clamp(1, STEP));
        // Mostly there is nothing to do, and the writer need not know.
        let is_due = move |connection: &mut SqliteConnection| {
            Ok(has_unfinished(connection)? || compact::is_due(connection, queue.clock.now())?)
        };
        let call = call!("records", "erase_due");
        if !self.scans.run(call, is_due).await? {
            return Ok(false);
        }
        let step = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| step(connection, &queue, limit))
        };
        let worked = self.writer.run(call!("records", "erase"), step).await?;
        Ok(worked || self.compact().await?)
    }
}

fn has_unfinished(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let unfinished = erasures::table.filter(erasures::finished_at.is_null());
    diesel::select(exists(unfinished)).get_result(connection)
}

/// Does one step of the oldest unfinished erasure; false if there is none.
fn step(connection: &mut SqliteConnection, queue: &QueueSettings, limit: usize) -> Outcome<bool> {
    let oldest: Option<Unfinished> = erasures::table
        .filter(erasures::finished_at.is_null())
        .order(erasures::id)
        .select((
            erasures::id,
            erasures::app,
            erasures::chat,
            erasures::user,
            erasures::until_revision,
            erasures::requested_at,
            erasures::position,
        ))
        .first(connection)
        .optional()?;
    let Some(erasure) = oldest else {
        return Ok(false);
    };
    let now = queue.clock.now();
    let progress = match &erasure.user {
        Some(user) => erase_sender::step(connection, &erasure, user, now, limit)?,
        None => erase_content(connection, &erasure, limit)?,
    };
    let finished = progress.position.is_none().then_some(now);
    diesel::update(erasures::table.find(erasure.id))
        .set((
            erasures::erased.eq(erasures::erased + signed(progress.erased as u64)),
            erasures::position.eq(progress.position.unwrap_or_default()),
            erasures::finished_at.eq(finished),
        ))
        .execute(connection)?;
    Ok(true)
}

/// Position of an erasure while rows are removed; the last finished chat follows.
const ROWS: &str = "rows:";

/// Position of an erasure when all rows are removed.
const KEYS: &str = "keys";

/// Erases the content of a chat or of an application: first jobs, then rows, then idempotency keys.
fn erase_content(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    limit: usize,
) -> Outcome<Progress> {
    if let Some(last) = erasure.position.strip_prefix(ROWS) {
        let last = last.parse().unwrap_or(0);
        return erase_rows(connection, erasure, last, limit);
    }
    let removed = delete_jobs(connection, erasure, limit)?;
    if removed == limit {
        return Ok(Progress::to(&erasure.position));
    }
    if erasure.position != KEYS {
        return Ok(Progress::to(format!("{ROWS}0")));
    }
    if delete_keys(connection, erasure, limit)? == limit {
        return Ok(Progress::to(KEYS));
    }
    if erasure.chat == 0 {
        let users = user_revocations::table.filter(user_revocations::app.eq(&erasure.app));
        diesel::delete(users).execute(connection)?;
    }
    Ok(Progress {
        erased: 0,
        position: None,
    })
}

/// Removes jobs that nobody works on. Nothing new is accepted, and a job that is leased changes nothing when it is stored. The
/// deletion of the application itself is left to its worker.
fn delete_jobs(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    limit: usize,
) -> QueryResult<usize> {
    let unclaimed = "state <> 'leased' AND kind <> 'delete_application'";
    delete(connection, erasure, ("jobs", "id"), unclaimed, limit)
}

fn delete_keys(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    limit: usize,
) -> QueryResult<usize> {
    let keys = ("idempotency_keys", "id");
    delete(connection, erasure, keys, "TRUE", limit)
}

/// Removes up to `limit` rows that belong to the chat or application of an erasure and fulfil a condition.
fn delete(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    (table, key): (&str, &str),
    condition: &str,
    limit: usize,
) -> QueryResult<usize> {
    let belongs = match erasure.chat {
        0 => "app = ?1 AND ?2 = 0",
        _ => "app = ?1 AND chat = ?2",
    };
    sql_query(format!(
        "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {belongs} AND {condition} LIMIT ?3)"
    ))
    .bind::<Text, _>(&erasure.app)
    .bind::<BigInt, _>(erasure.chat)
    .bind::<BigInt, _>(signed(limit as u64))
    .execute(connection)
}

/// Removes up to `limit` messages of the chats after `last`. Of a deleted application, the rows of its chats too: no job brings
/// them back, as the row of the application stays.
fn erase_rows(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    mut last: i64,
    limit: usize,
) -> Outcome<Progress> {
    let (mut left, mut erased) = (limit, 0);
    while left > 0 {
        let mut query = chat_numbers::table
            .filter(chat_numbers::app.eq(&erasure.app))
            .filter(chat_numbers::number.gt(last))
            .order(chat_numbers::number)
            .select((chat_numbers::id, chat_numbers::number))
            .into_boxed();
        if erasure.chat != 0 {
            query = query.filter(chat_numbers::number.eq(erasure.chat));
        }
        let next: Option<(i64, i64)> = query.first(connection).optional()?;
        let Some((chat, number)) = next else {
            return Ok(Progress {
                erased,
                position: Some(KEYS.into()),
            });
        };
        let removed = erase_messages(connection, chat, left)?;
        erased += removed;
        left -= removed;
        if left > 0 {
            if erasure.chat == 0 {
                diesel::delete(chats::table.find((&erasure.app, number))).execute(connection)?;
            }
            left -= 1;
            last = number;
        }
    }
    Ok(Progress {
        erased,
        position: Some(format!("{ROWS}{last}")),
    })
}

/// Removes the first messages of a chat, with their documents. Returns how many there were; less than `limit` at the end.
fn erase_messages(connection: &mut SqliteConnection, chat: i64, limit: usize) -> Outcome<usize> {
    let span = chat_span(chat);
    let ids: Vec<i64> = messages::table
        .filter(messages::id.ge(span.start))
        .filter(messages::id.lt(span.end))
        .order(messages::id)
        .select(messages::id)
        .limit(signed(limit as u64))
        .load(connection)?;
    let end = match ids.last() {
        Some(last) if ids.len() == limit => last + 1,
        _ => span.end,
    };
    let rows = messages::table
        .filter(messages::id.ge(span.start))
        .filter(messages::id.lt(end));
    diesel::delete(rows).execute(connection)?;
    fts_erase::delete(connection, span.start..end)?;
    Ok::<_, Failure>(ids.len())
}
