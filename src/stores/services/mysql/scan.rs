//! Rows of messages as the search index should hold them.
//!
//! A message that is deleted with its chat or application, or by its chat's mark, keeps its row until that is erased. Here it
//! has no content, so the index worker and a rebuild write an empty document for it. If they read the row before the deletion,
//! they write the text; the erasure then overwrites that document, because it knows the same indices.

use diesel::sql_query;
use diesel_async::RunQueryDsl;

use super::{
    Mysql, keys,
    parents::{Hold, Parents},
    pool::Connection,
    rows::MessageRow,
};
use crate::{
    domain::{ChatKey, Message, MessageKey},
    stores::{
        Result,
        call::{Call, call},
    },
};

/// The columns of a row. The deletion is that of the message, of its chat, or of its application.
const COLUMNS: &str = "app, chat, number, text, revision, created_at, updated_at, inserted_by, sender, data, \
     COALESCE(deleted_at, \
     (SELECT IF(messages.number <= c.deleted_up_to, COALESCE(c.deleted_at, c.created_at), c.deleted_at) \
     FROM chats c WHERE c.app = messages.app AND c.number = messages.chat), \
     (SELECT a.deleted_at FROM applications a WHERE a.id = messages.app)) AS deleted_at";

impl Mysql {
    /// The stored messages of these keys, in any order.
    pub async fn rows_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        let query = format!(
            "SELECT {COLUMNS} FROM messages WHERE {}",
            keys::messages(keys)
        );
        self.load(call!("records", "messages_by_key"), query).await
    }

    /// Returns up to `limit` stored messages after `after`, in key order.
    pub async fn scan_rows(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<Message>> {
        let after = after.map_or_else(|| "TRUE".to_owned(), beyond);
        let query = format!(
            "SELECT {COLUMNS} FROM messages WHERE {after} ORDER BY app, chat, number LIMIT {limit}"
        );
        self.load(call!("records", "scan_messages"), query).await
    }

    /// Returns those of these messages that are deleted with their chat or application, or by their chat's mark.
    pub async fn deleted_with_parents(&self, keys: &[MessageKey]) -> Result<Vec<MessageKey>> {
        let read = async |connection: &mut Connection| {
            let keys = keys.iter().copied();
            Parents::of_messages(connection, keys, Hold::Nothing).await
        };
        let parents = self
            .pool
            .read(call!("records", "deleted_parents"), read)
            .await?;
        let deleted = keys
            .iter()
            .copied()
            .filter(|key| parents.message_is_deleted(*key));
        Ok(deleted.collect())
    }

    async fn load(&self, call: &Call, query: String) -> Result<Vec<Message>> {
        let read = async |connection: &mut Connection| {
            sql_query(&query).load::<MessageRow>(connection).await
        };
        let rows = self.pool.read(call, read).await?;
        let messages = rows
            .into_iter()
            .map(|row| Ok(without_deleted_content(row.read()?)));
        messages.collect()
    }
}

/// Condition of keys after this one, spelt out, because MySQL uses the key for this and scans the table for
/// `(app, chat, number) > (…)`.
fn beyond(MessageKey { chat, number }: MessageKey) -> String {
    let ChatKey { app, number: chat } = chat;
    format!(
        "(app > '{app}' OR app = '{app}' AND (chat > {chat} OR chat = {chat} AND number > {number}))"
    )
}

fn without_deleted_content(message: Message) -> Message {
    match message.deleted_at {
        None => message,
        Some(at) => Message::deleted(message.key, message.revision, at),
    }
}
