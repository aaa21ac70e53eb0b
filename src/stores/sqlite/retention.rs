//! Retention: the oldest messages of a chat are removed with their documents and jobs, and the chat's mark says up to which
//! number. All in one transaction, so no read needs the mark; it keeps late jobs from bringing a message back.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};

use super::{
    Embedded,
    claim::time,
    error::Outcome,
    fts_erase,
    history::next_revision,
    pending,
    read::position,
    rows::{app_id, chat_span, signed, unsigned},
    schema::{chats, deletions, messages},
};
use crate::{
    domain::{ChatKey, MessageKey},
    stores::{Expired, Result, call::call},
};

/// Number of chats that one step looks at.
const CHATS: usize = 500;

/// Maximum number of messages that one transaction removes, so that accepted writes need not wait longer than for a worker's
/// batch.
const MESSAGES: usize = 200;

/// A chat, and whether its first message is old.
#[derive(QueryableByName)]
struct ChatRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Bool)]
    is_old: bool,
}

impl ChatRow {
    fn key(&self) -> Result<ChatKey> {
        Ok(ChatKey {
            app: app_id(&self.app)?,
            number: unsigned(self.number),
        })
    }
}

impl Embedded {
    pub(crate) async fn expire_messages(
        &self,
        age: Duration,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Expired> {
        let now = self.queue.clock.now();
        let (cutoff, limit) = (now.saturating_sub(time(age)), limit.clamp(1, MESSAGES));
        let find = move |connection: &mut SqliteConnection| find(connection, cutoff, after);
        let found = self
            .scans
            .run(call!("records", "expired_chats"), find)
            .await?;
        let mut expired = Expired {
            messages: 0,
            last: after,
            is_done: false,
        };
        let is_last = found.len() < CHATS;
        for chat in found {
            let key = chat.key()?;
            if chat.is_old {
                let expire = move |connection: &mut SqliteConnection| {
                    connection.immediate_transaction(|connection| {
                        expire(connection, &chat, cutoff, now, limit)
                    })
                };
                let call = call!("records", "expire_messages");
                let removed = self.writer.run(call, expire).await?;
                expired.messages += removed;
                if removed == limit {
                    // The next step looks at this chat again.
                    return Ok(expired);
                }
            }
            expired.last = Some(key);
            if expired.messages >= limit {
                return Ok(expired);
            }
        }
        if is_last {
            (expired.last, expired.is_done) = (None, true);
        }
        Ok(expired)
    }
}

fn find(
    connection: &mut SqliteConnection,
    cutoff: i64,
    after: Option<ChatKey>,
) -> Outcome<Vec<ChatRow>> {
    let (app, number, _) = position(after.map(|chat| MessageKey { chat, number: 0 }));
    Ok(sql_query(
        "SELECT n.id, n.app, n.number, COALESCE((SELECT m.created_at FROM messages m \
         WHERE m.id > n.id << 32 AND m.id < (n.id + 1) << 32 ORDER BY m.id LIMIT 1) < ?1, 0) AS is_old \
         FROM chat_numbers n WHERE (n.app, n.number) > (?2, ?3) AND NOT n.deleted ORDER BY n.app, n.number LIMIT ?4",
    )
    .bind::<BigInt, _>(cutoff)
    .bind::<Text, _>(app)
    .bind::<BigInt, _>(number)
    .bind::<BigInt, _>(signed(CHATS as u64))
    .load(connection)?)
}

/// Removes the first messages of a chat that were created before `cutoff`, up to `limit` of them.
fn expire(
    connection: &mut SqliteConnection,
    chat: &ChatRow,
    cutoff: i64,
    now: i64,
    limit: usize,
) -> Outcome<usize> {
    let span = chat_span(chat.id);
    let first: Vec<(i64, i64, i64, Option<i64>)> = messages::table
        .filter(messages::id.ge(span.start))
        .filter(messages::id.lt(span.end))
        .order(messages::id)
        .select((
            messages::id,
            messages::number,
            messages::created_at,
            messages::deleted_at,
        ))
        .limit(signed(limit as u64))
        .load(connection)?;
    let is_old = |row: &&(i64, i64, i64, Option<i64>)| row.2 < cutoff;
    let old: Vec<_> = first.iter().take_while(is_old).collect();
    let Some((last, mark, ..)) = old.last() else {
        return Ok(0);
    };
    let row = chats::table
        .find((&chat.app, chat.number))
        .filter(chats::deleted_at.is_null());
    let existing = old.iter().filter(|row| row.3.is_none()).count() as u64;
    let revision = next_revision(connection)?;
    let marked = diesel::update(row)
        .set((
            chats::deleted_up_to.eq(mark),
            chats::revision.eq(revision),
            chats::messages_count.eq(chats::messages_count - signed(existing)),
        ))
        .execute(connection)?;
    if marked == 0 {
        // The chat is deleted, or not stored yet.
        return Ok(0);
    }
    let end = last + 1;
    let rows = messages::table
        .filter(messages::id.ge(span.start))
        .filter(messages::id.lt(end));
    diesel::delete(rows).execute(connection)?;
    fts_erase::delete(connection, span.start..end)?;
    pending::withdraw(connection, &chat.app, chat.number, 1..=*mark)?;
    sql_query(
        "UPDATE idempotency_keys SET body = NULL WHERE app = ? AND chat = ? AND number <= ? AND body IS NOT NULL",
    )
    .bind::<Text, _>(&chat.app)
    .bind::<BigInt, _>(chat.number)
    .bind::<BigInt, _>(mark)
    .execute(connection)?;
    diesel::insert_into(deletions::table)
        .values((
            deletions::app.eq(&chat.app),
            deletions::chat.eq(chat.number),
            deletions::number.eq(mark),
            deletions::up_to.eq(true),
            deletions::deleted_at.eq(now),
        ))
        .execute(connection)?;
    Ok(old.len())
}
