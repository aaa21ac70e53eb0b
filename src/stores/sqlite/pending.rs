//! Writes that are accepted and not stored yet.

use std::ops::RangeInclusive;

use diesel::{
    connection::DefaultLoadingMode,
    dsl::sql,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    error::{Outcome, failed},
    new_job::NewJob,
    rows::{message_id, signed, unsigned},
    schema::{jobs, messages},
};
use crate::{
    domain::{AppId, Application, Change, Kind, Message, MessageKey, Page, Revision, page::Part},
    stores::{Result, payload},
};

#[derive(QueryableByName)]
struct Pending {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    payload: String,
}

/// Returns the newest queued write to each item of a page: chats if `chat` is 0, else messages of that chat.
pub(super) fn changes(
    connection: &mut SqliteConnection,
    app: AppId,
    chat: u64,
    page: &Page,
) -> Outcome<Part<Change>> {
    let clamp = |number: u64| signed(number.min(i64::MAX as u64));
    // Of a group, SQLite takes the other columns from the row that has the maximum.
    let query = sql_query(format!(
        "SELECT MAX(id) AS id, payload FROM jobs \
         WHERE app = ? AND chat = ? AND number > ? AND number < ? AND superseded = 0 \
         GROUP BY number ORDER BY number {} LIMIT ?",
        if page.from_the_end() { "DESC" } else { "ASC" }
    ));
    let query = query
        .bind::<Text, _>(app.to_string())
        .bind::<BigInt, _>(signed(chat))
        .bind::<BigInt, _>(clamp(page.after.unwrap_or(0)))
        .bind::<BigInt, _>(page.before.map_or(i64::MAX, clamp))
        .bind::<BigInt, _>(signed(page.limit as u64));
    let rows = query.load_iter::<Pending, DefaultLoadingMode>(connection)?;
    Part::read(
        page,
        rows.map(|row| {
            let row = row?;
            Ok((read(row.id, &row.payload)?, row.payload.len()))
        }),
    )
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
    let change = row.map(|(id, payload)| read(id, &payload)).transpose()?;
    Ok(change.and_then(Change::into_message))
}

/// Removes the jobs of messages that are deleted without a job. A leased job stays, but is not read any more, and changes nothing
/// when it is stored.
pub(super) fn withdraw(
    connection: &mut SqliteConnection,
    app: &str,
    chat: i64,
    numbers: RangeInclusive<i64>,
) -> QueryResult<()> {
    for query in [
        "DELETE FROM jobs WHERE app = ? AND chat = ? AND number BETWEEN ? AND ? AND state <> 'leased'",
        "UPDATE jobs SET superseded = 1 WHERE app = ? AND chat = ? AND number BETWEEN ? AND ?",
    ] {
        sql_query(query)
            .bind::<Text, _>(app)
            .bind::<BigInt, _>(chat)
            .bind::<BigInt, _>(*numbers.start())
            .bind::<BigInt, _>(*numbers.end())
            .execute(connection)?;
    }
    Ok(())
}

/// The newest write to an application.
pub(super) fn application(
    connection: &mut SqliteConnection,
    app: AppId,
) -> Outcome<Option<Application>> {
    let row: Option<(i64, String)> = jobs::table
        .filter(jobs::app.eq(app.to_string()))
        .filter(jobs::chat.eq(0))
        .filter(jobs::number.eq(0))
        .order(jobs::id.desc())
        .select((jobs::id, jobs::payload))
        .first(connection)
        .optional()?;
    let change = row.map(|(id, payload)| read(id, &payload)).transpose()?;
    Ok(change.and_then(Change::into_application))
}

fn read(id: i64, payload: &str) -> Result<Change> {
    payload::read(Revision(unsigned(id)), payload).map_err(failed)
}

/// Returns the revision of the last accepted write to a message of the chat of `write`; `None` if the message is deleted or was
/// never accepted.
pub(super) fn version(
    connection: &mut SqliteConnection,
    write: &NewJob,
    number: i64,
    chat_id: i64,
) -> QueryResult<Option<Revision>> {
    let queued: Option<(i64, String)> = jobs::table
        .filter(jobs::app.eq(&write.app))
        .filter(jobs::chat.eq(write.chat))
        .filter(jobs::number.eq(number))
        .filter(jobs::superseded.eq(0))
        .order(jobs::id.desc())
        .select((jobs::id, jobs::kind))
        .first(connection)
        .optional()?;
    if let Some((_, kind)) = &queued
        && kind == Kind::DeleteMessage.name()
    {
        return Ok(None);
    }
    let id = message_id(chat_id, unsigned(number));
    let stored: Option<(i64, Option<i64>)> = messages::table
        .find(id.unwrap_or_default())
        .select((messages::revision, messages::deleted_at))
        .first(connection)
        .optional()?;
    let revisions = match stored {
        Some((_, Some(_))) => return Ok(None),
        Some((revision, None)) => queued.map(|(id, _)| id).max(Some(revision)),
        None => queued.map(|(id, _)| id),
    };
    Ok(revisions.map(|revision| Revision(unsigned(revision))))
}

/// What the queue knows of a message's creation, for readers of an update before it is stored.
#[derive(Default)]
pub(super) struct Origin {
    /// Time of the creation.
    pub created_at: Option<i64>,
    /// Sender of the message.
    pub sender: Option<String>,
}

/// Returns what the queue knows of a message's creation.
pub(super) fn origin(
    connection: &mut SqliteConnection,
    app: &str,
    chat: i64,
    number: i64,
) -> QueryResult<Origin> {
    let oldest: Option<(Option<i64>, Option<String>)> = jobs::table
        .filter(jobs::app.eq(app))
        .filter(jobs::chat.eq(chat))
        .filter(jobs::number.eq(number))
        .filter(jobs::superseded.eq(0))
        .order(jobs::id)
        .select((
            sql::<Nullable<BigInt>>(
                "COALESCE(json_extract(payload, '$.created'), CASE kind WHEN 'create_message' THEN accepted_at END)",
            ),
            sql::<Nullable<Text>>("json_extract(payload, '$.sender')"),
        ))
        .first(connection)
        .optional()?;
    let (created_at, sender) = oldest.unwrap_or_default();
    Ok(Origin { created_at, sender })
}
