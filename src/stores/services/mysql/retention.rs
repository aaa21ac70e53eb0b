//! Retention: the oldest messages of a chat are deleted by moving its mark, and their rows are removed afterwards.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql, keys,
    pool::Connection,
    revisions::{Revisions, epoch_is_over, take_revision},
    rows::{app_id, signed, time_literal, unsigned},
    store::hold_epoch,
};
use crate::{
    domain::{ChatKey, Message, MessageKey, Number, Revision, Timestamp},
    failpoints,
    stores::{
        Result, ScanPage,
        call::{Call, call},
    },
};

/// A chat whose first row is of an old message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiredChat {
    /// The chat.
    pub key: ChatKey,
    /// Tells whether the mark covers that message already, so that its row is to be removed.
    pub is_marked: bool,
}

#[derive(QueryableByName)]
struct ChatRow {
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    mark: i64,
    /// First row of the chat.
    #[diesel(sql_type = Nullable<BigInt>)]
    first: Option<i64>,
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

    fn expired(&self) -> Result<Option<ExpiredChat>> {
        let key = self.key()?;
        let is_marked = self.first.is_some_and(|first| first <= self.mark);
        Ok((is_marked || self.is_old).then_some(ExpiredChat { key, is_marked }))
    }
}

#[derive(QueryableByName)]
struct MessageRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = Bool)]
    is_old: bool,
}

impl Mysql {
    /// Scans up to `limit` chats after `after`. Returns those whose first message was created before `cutoff`, or has a number
    /// up to the mark.
    pub async fn expired_chats(
        &self,
        cutoff: Timestamp,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<ScanPage<ChatKey, ExpiredChat>> {
        let after = after.map_or_else(
            || "TRUE".to_owned(),
            |ChatKey { app, number }| {
                format!("(c.app > '{app}' OR c.app = '{app}' AND c.number > {number})")
            },
        );
        let query = format!(
            "SELECT c.app, c.number, c.deleted_up_to AS mark, m.number AS first, \
             COALESCE(m.created_at < {}, FALSE) AS is_old \
             FROM chats c LEFT JOIN messages m ON m.app = c.app AND m.chat = c.number AND m.number = \
             (SELECT f.number FROM messages f WHERE f.app = c.app AND f.chat = c.number ORDER BY f.number LIMIT 1) \
             WHERE {after} AND c.deleted_at IS NULL ORDER BY c.app, c.number LIMIT {limit}",
            time_literal(cutoff)
        );
        let rows: Vec<ChatRow> = self.query(call!("records", "expired_chats"), query).await?;
        let last = rows.last().map(ChatRow::key).transpose()?;
        let expired = rows.iter().filter_map(|row| row.expired().transpose());
        Ok(ScanPage {
            scanned: rows.len(),
            last: last.filter(|_| rows.len() == limit),
            findings: expired.collect::<Result<_>>()?,
        })
    }

    /// Deletes the first messages of a chat that were created before `cutoff`, up to `limit` of them, by moving its mark.
    pub async fn move_mark(
        &self,
        chat: ChatKey,
        cutoff: Timestamp,
        limit: usize,
        epoch: u64,
        revisions: impl Revisions,
    ) -> Result<()> {
        let ChatKey { app, number } = chat;
        let query = format!(
            "SELECT m.number, m.revision, m.created_at < {} AS is_old FROM messages m \
             JOIN chats c ON c.app = m.app AND c.number = m.chat \
             WHERE m.app = '{app}' AND m.chat = {number} AND m.number > c.deleted_up_to ORDER BY m.number LIMIT {limit}",
            time_literal(cutoff)
        );
        let rows: Vec<MessageRow> = self.query(call!("records", "old_messages"), query).await?;
        let Some(last) = rows.iter().take_while(|row| row.is_old).last() else {
            return Ok(());
        };
        let mark = unsigned(last.number);
        let write = async |connection: &mut Connection| {
            let moved = move_mark(connection, chat, mark, epoch, &revisions).await?;
            failpoints::hit("before_commit");
            Ok(moved)
        };
        let write = self.pool.transaction(write);
        let moved = call!("records", "move_mark").timed(write).await;
        moved.flatten()
    }

    /// Returns up to `limit` messages of a chat that its mark covers, without content, as deleted at `at`.
    pub async fn marked_messages(
        &self,
        chat: ChatKey,
        limit: usize,
        at: Timestamp,
    ) -> Result<Vec<Message>> {
        let ChatKey { app, number } = chat;
        let query = format!(
            "SELECT m.number, m.revision, TRUE AS is_old FROM messages m \
             JOIN chats c ON c.app = m.app AND c.number = m.chat \
             WHERE m.app = '{app}' AND m.chat = {number} AND m.number <= c.deleted_up_to ORDER BY m.number LIMIT {limit}"
        );
        let rows: Vec<MessageRow> = self
            .query(call!("records", "marked_messages"), query)
            .await?;
        let rows = rows.into_iter().map(|row| {
            let number = unsigned(row.number);
            Message::deleted(
                MessageKey { chat, number },
                Revision(unsigned(row.revision)),
                at,
            )
        });
        Ok(rows.collect())
    }

    /// Removes the rows of messages that a mark covers.
    pub async fn remove_rows(&self, messages: &[Message]) -> Result<()> {
        let keys: Vec<MessageKey> = messages.iter().map(|message| message.key).collect();
        let delete = format!("DELETE FROM messages WHERE {}", keys::messages(&keys));
        let write =
            async |connection: &mut Connection| sql_query(&delete).execute(connection).await;
        let write = self.pool.write(write);
        call!("records", "remove_rows").timed(write).await.map(drop)
    }

    async fn query<T>(&self, call: &Call, query: String) -> Result<Vec<T>>
    where
        T: QueryableByName<diesel::mysql::Mysql> + Send + 'static,
    {
        let read =
            async |connection: &mut Connection| sql_query(&query).load::<T>(connection).await;
        self.pool.read(call, read).await
    }
}

/// Moves the mark of a chat, with its revision, the count, the idempotency keys and the log. Store transactions hold a shared
/// lock of the chat, so each of them either is counted here, or leaves out what the mark covers.
async fn move_mark(
    connection: &mut Connection,
    chat: ChatKey,
    mark: Number,
    epoch: u64,
    revisions: &impl Revisions,
) -> QueryResult<Result<()>> {
    let ChatKey { app, number } = chat;
    if !hold_epoch(connection, epoch).await? {
        return Ok(Err(epoch_is_over()));
    }
    let of_chat = format!("app = '{app}' AND number = {number}");
    let former: Option<Mark> = sql_query(format!(
        "SELECT deleted_up_to AS mark FROM chats WHERE {of_chat} AND deleted_at IS NULL FOR UPDATE"
    ))
    .get_result(connection)
    .await
    .optional()?;
    // Another process may have moved it further, or the chat is deleted.
    let Some(Mark { mark: former }) = former.filter(|former| former.mark < signed(mark)) else {
        return Ok(Ok(()));
    };
    let revision = match take_revision(connection, epoch, revisions).await? {
        Ok(revision) => revision,
        Err(error) => return Ok(Err(error)),
    };
    let covered =
        format!("app = '{app}' AND chat = {number} AND number > {former} AND number <= {mark}");
    for statement in [
        // First, because it waits for the store transactions that do not know of it.
        format!(
            "UPDATE chats SET deleted_up_to = {mark}, revision = {} WHERE {of_chat}",
            revision.0
        ),
        format!(
            "INSERT INTO messages_count_deltas (app, chat, delta) \
             SELECT app, chat, -COUNT(*) FROM messages WHERE {covered} AND deleted_at IS NULL GROUP BY app, chat"
        ),
        format!("UPDATE idempotency_keys SET body = NULL WHERE {covered} AND body IS NOT NULL"),
        format!(
            "INSERT INTO deletions (app, chat, number, up_to, deleted_at) \
             VALUES ('{app}', {number}, {mark}, TRUE, UTC_TIMESTAMP(3))"
        ),
    ] {
        sql_query(statement).execute(connection).await?;
    }
    Ok(Ok(()))
}

#[derive(QueryableByName)]
struct Mark {
    #[diesel(sql_type = BigInt)]
    mark: i64,
}
