//! Deleting the messages of a sender. They are deleted without a job, in the transaction that finds them, so that the queue
//! does not fill up.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    erasures::{Progress, Unfinished},
    error::Outcome,
    pending,
    rows::{app_id, signed, unsigned},
    schema::state,
    store_messages::{TokenizedMessage, store_messages},
};
use crate::domain::{ChatKey, Message, MessageKey, Revision, time::from_millis};

/// Jobs or rows that a step reads for each message that it may delete.
const READ: usize = 5;

/// Position of an erasure that has read all jobs; the last message that it has read follows.
const ROWS: &str = "rows:";

/// A message that a step has read.
#[derive(QueryableByName)]
struct Found {
    /// ID of the job, or 0.
    #[diesel(sql_type = BigInt)]
    job: i64,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
    /// 1 if it is the sender's.
    #[diesel(sql_type = Nullable<BigInt>)]
    matches: Option<i64>,
}

/// Deletes messages that are queued, then those that are stored. A message that is stored meanwhile is found among the rows,
/// which are read last.
pub(super) fn step(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    user: &str,
    now: i64,
    limit: usize,
) -> Outcome<Progress> {
    let page = limit * READ;
    let after = erasure.position.strip_prefix(ROWS);
    let found = match after {
        None => queued(connection, erasure, user, page)?,
        Some(after) => stored(connection, erasure, user, after, page)?,
    };
    // The step ends with the last message that it may delete, or with the page.
    let mut matching = Vec::new();
    let mut read = 0;
    for item in &found {
        if matching.len() == limit {
            break;
        }
        read += 1;
        if item.matches == Some(1) {
            matching.push((item.chat, item.number));
        }
    }
    let position = match (after, found[..read].last()) {
        (None, Some(last)) => Some(last.job.to_string()),
        (None, None) => Some(ROWS.to_owned()),
        (Some(_), Some(last)) => Some(format!("{ROWS}{}:{}", last.chat, last.number)),
        (Some(_), None) => None,
    };
    delete(connection, &erasure.app, &matching, now)?;
    Ok(Progress {
        erased: matching.len(),
        position,
    })
}

/// Reads jobs after the position. Only a creation always has the sender.
fn queued(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    user: &str,
    limit: usize,
) -> QueryResult<Vec<Found>> {
    sql_query(
        "SELECT id AS job, chat, number, CASE WHEN app = ?1 AND kind = 'create_message' AND json_valid(payload) \
         THEN json_extract(payload, '$.sender') = ?2 END AS matches \
         FROM jobs WHERE id > ?3 AND id <= ?4 ORDER BY id LIMIT ?5",
    )
    .bind::<Text, _>(&erasure.app)
    .bind::<Text, _>(user)
    .bind::<BigInt, _>(erasure.position.parse().unwrap_or(0))
    .bind::<BigInt, _>(erasure.until_revision)
    .bind::<BigInt, _>(signed(limit as u64))
    .load(connection)
}

/// Reads rows after the position. A row has the revision of its last write: whether a message that was updated since the request
/// is older than that is known by its time only.
fn stored(
    connection: &mut SqliteConnection,
    erasure: &Unfinished,
    user: &str,
    after: &str,
    limit: usize,
) -> QueryResult<Vec<Found>> {
    let (chat, number) = after.split_once(':').unwrap_or_default();
    sql_query(
        "SELECT 0 AS job, n.number AS chat, m.number, m.sender = ?1 AND m.deleted_at IS NULL \
         AND (m.revision <= ?2 OR m.created_at <= ?3) AS matches \
         FROM chat_numbers n CROSS JOIN messages m \
         ON m.id > (n.id << 32) + iif(n.number = ?5, ?6, 0) AND m.id < (n.id + 1) << 32 \
         WHERE n.app = ?4 AND n.number >= ?5 ORDER BY n.number, m.id LIMIT ?7",
    )
    .bind::<Text, _>(user)
    .bind::<BigInt, _>(erasure.until_revision)
    .bind::<BigInt, _>(erasure.requested_at)
    .bind::<Text, _>(&erasure.app)
    .bind::<BigInt, _>(chat.parse().unwrap_or(0))
    .bind::<BigInt, _>(number.parse().unwrap_or(0))
    .bind::<BigInt, _>(signed(limit as u64))
    .load(connection)
}

/// Deletes messages, and removes their jobs.
fn delete(
    connection: &mut SqliteConnection,
    app: &str,
    messages: &[(i64, i64)],
    now: i64,
) -> Outcome<()> {
    let mut revision: i64 = state::table.select(state::revision).first(connection)?;
    let mut deletions = Vec::with_capacity(messages.len());
    for (chat, number) in messages {
        revision += 1;
        let chat_key = ChatKey {
            app: app_id(app)?,
            number: unsigned(*chat),
        };
        let key = MessageKey {
            chat: chat_key,
            number: unsigned(*number),
        };
        deletions.push(TokenizedMessage {
            message: Message::deleted(key, Revision(unsigned(revision)), from_millis(now)),
            tokens: String::new(),
        });
        pending::withdraw(connection, app, *chat, *number..=*number)?;
    }
    diesel::update(state::table)
        .set(state::revision.eq(revision))
        .execute(connection)?;
    store_messages(connection, &deletions)
}
