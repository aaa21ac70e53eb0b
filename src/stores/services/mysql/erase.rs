//! Rows that erasures find and remove.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Binary, Bool},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    erasures::{UnfinishedErasure, advance},
    keys,
    pool::Connection,
    rows::{time_literal, unsigned},
};
use crate::{
    domain::{AppId, ChatKey, Message, MessageKey, Number, Revision, Timestamp},
    failpoints,
    stores::{Result, call::call},
};

/// Messages of a sender among the scanned ones.
pub(crate) struct SenderPage {
    /// The messages.
    pub found: Vec<MessageKey>,
    /// The last message that was scanned; `None` if none was left.
    pub last: Option<MessageKey>,
}

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = Bool)]
    is_found: bool,
}

impl KeyRow {
    fn key(&self, app: AppId) -> MessageKey {
        let chat = ChatKey {
            app,
            number: unsigned(self.chat),
        };
        MessageKey {
            chat,
            number: unsigned(self.number),
        }
    }
}

impl Mysql {
    /// Returns up to `limit` messages of a chat, or of all chats, after `after`, without content, as deleted at `at`.
    pub async fn messages_to_erase(
        &self,
        app: AppId,
        chat: Option<Number>,
        after: Option<MessageKey>,
        limit: usize,
        at: Timestamp,
    ) -> Result<Vec<Message>> {
        let query = format!(
            "SELECT chat, number, revision, TRUE AS is_found FROM messages WHERE {} ORDER BY app, chat, number LIMIT {limit}",
            condition(app, chat, after)
        );
        let rows = self.load_keys(query, None).await?;
        let rows = rows.iter();
        Ok(rows
            .map(|row| Message::deleted(row.key(app), Revision(unsigned(row.revision)), at))
            .collect())
    }

    /// Scans up to `limit` messages of an application after `after` for those that a sender created until `until`, which
    /// was the last write at `now`. The creation of a message that was updated is known by its time only.
    pub(crate) async fn messages_of_sender(
        &self,
        UnfinishedErasure { erasure, until, .. }: &UnfinishedErasure,
        user: &str,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<SenderPage> {
        let query = format!(
            "SELECT chat, number, revision, COALESCE(deleted_at IS NULL AND CAST(sender AS BINARY) = ? AND (revision <= {} \
             OR updated_at IS NOT NULL AND created_at <= {}), FALSE) AS is_found \
             FROM messages WHERE {} ORDER BY app, chat, number LIMIT {limit}",
            until.0,
            time_literal(erasure.requested_at),
            condition(erasure.app, None, after)
        );
        let rows = self.load_keys(query, Some(user)).await?;
        let found = rows.iter().filter(|row| row.is_found);
        Ok(SenderPage {
            found: found.map(|row| row.key(erasure.app)).collect(),
            last: rows.last().map(|row| row.key(erasure.app)),
        })
    }

    async fn load_keys(&self, query: String, user: Option<&str>) -> Result<Vec<KeyRow>> {
        let read = async |connection: &mut Connection| match user {
            Some(user) => {
                let query = sql_query(&query).bind::<Binary, _>(user.as_bytes());
                query.load::<KeyRow>(connection).await
            }
            None => sql_query(&query).load::<KeyRow>(connection).await,
        };
        self.pool
            .read(call!("records", "messages_to_erase"), read)
            .await
    }

    /// Removes the rows of messages, and keeps where the erasure continues, in one transaction.
    pub async fn erase_messages(
        &self,
        id: u64,
        messages: &[Message],
        position: &str,
    ) -> Result<()> {
        let keys: Vec<MessageKey> = messages.iter().map(|message| message.key).collect();
        let delete = format!("DELETE FROM messages WHERE {}", keys::messages(&keys));
        let erase = async |connection: &mut Connection| {
            sql_query(&delete).execute(connection).await?;
            advance(connection, id, position, keys.len() as u64).await?;
            failpoints::hit("before_erasure_commit");
            Ok(())
        };
        let erase = self.pool.transaction(erase);
        call!("records", "erase_messages").timed(erase).await
    }

    /// Removes up to `limit` rows each of what else belongs to a chat or application; true if nothing is left. The rows of
    /// the chat and of the application themselves stay.
    pub async fn erase_rest(&self, app: AppId, chat: Option<Number>, limit: usize) -> Result<bool> {
        let statements = match chat {
            // The row of the chat stays, so what is left to count is counted.
            Some(chat) => vec![format!(
                "DELETE FROM idempotency_keys WHERE app = '{app}' AND chat = {chat} LIMIT {limit}"
            )],
            None => [
                "idempotency_keys",
                "messages_count_deltas",
                "chats",
                "chats_count_deltas",
                "user_revocations",
            ]
            .map(|table| format!("DELETE FROM {table} WHERE app = '{app}' LIMIT {limit}"))
            .to_vec(),
        };
        let write = async |connection: &mut Connection| {
            let mut is_done = true;
            for statement in &statements {
                is_done &= sql_query(statement).execute(connection).await? < limit;
            }
            Ok(is_done)
        };
        call!("records", "erase_rest")
            .timed(self.pool.write(write))
            .await
    }
}

/// Condition of messages of a chat, or of all chats of an application, after `after`.
fn condition(app: AppId, chat: Option<Number>, after: Option<MessageKey>) -> String {
    let after = after.map(|after| (after.chat.number, after.number));
    let rest = match (chat, after) {
        (None, None) => "TRUE".to_owned(),
        (None, Some((chat, number))) => {
            format!("(chat > {chat} OR chat = {chat} AND number > {number})")
        }
        (Some(chat), after) => {
            format!(
                "chat = {chat} AND number > {}",
                after.map_or(0, |(_, number)| number)
            )
        }
    };
    format!("app = '{app}' AND {rest}")
}
