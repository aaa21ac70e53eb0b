//! Look-ups of what the accept step must know: counters and versions of messages. Those of idempotency keys are in
//! [`creations`](super::creations).

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql, keys,
    pool::Connection,
    rows::{app_id, unsigned},
};
use crate::{
    domain::{AppId, ChatKey, MessageKey, Number, Revision},
    stores::{
        Result,
        call::{Call, call},
    },
};

/// Rows of an application or chat, as far as the accept step needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct StoredOwner {
    #[diesel(sql_type = Bool)]
    found: bool,
    #[diesel(sql_type = Bool)]
    deleted: bool,
    #[diesel(sql_type = BigInt)]
    highest: i64,
    #[diesel(sql_type = BigInt)]
    deleted_chats: i64,
}

impl StoredOwner {
    /// Tells whether it is stored, by its own row or by those of what belongs to it.
    pub fn is_found(&self) -> bool {
        self.found || self.highest > 0
    }

    /// Tells whether it is deleted, or the application of a chat.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// The highest number of what belongs to it.
    pub fn highest(&self) -> Number {
        unsigned(self.highest)
    }

    /// Number of deleted chats of an application.
    pub fn deleted_chats(&self) -> u64 {
        unsigned(self.deleted_chats)
    }
}

/// The stored version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredVersion {
    /// The revision.
    pub revision: Revision,
    /// True if the message is deleted.
    pub is_deleted: bool,
}

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = Bool)]
    deleted: bool,
}

impl Mysql {
    /// An application with the highest number of its chats. A chat whose creation was lost with Redis may have messages: its
    /// number must not go to another chat.
    pub async fn owner_of_chats(&self, app: AppId) -> Result<StoredOwner> {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM applications WHERE id = '{app}') AS found, \
             EXISTS (SELECT 1 FROM applications WHERE id = '{app}' AND deleted_at IS NOT NULL) AS deleted, \
             GREATEST(COALESCE((SELECT MAX(number) FROM chats WHERE app = '{app}'), 0), \
             COALESCE((SELECT MAX(chat) FROM messages WHERE app = '{app}'), 0)) AS highest, \
             (SELECT COUNT(*) FROM chats WHERE app = '{app}' AND deleted_at IS NOT NULL) AS deleted_chats"
        );
        self.owner(call!("records", "highest_chat"), query).await
    }

    /// A chat with the highest number of its messages.
    pub async fn owner_of_messages(&self, ChatKey { app, number }: ChatKey) -> Result<StoredOwner> {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM chats WHERE app = '{app}' AND number = {number}) AS found, \
             EXISTS (SELECT 1 FROM chats WHERE app = '{app}' AND number = {number} AND deleted_at IS NOT NULL) \
             OR EXISTS (SELECT 1 FROM applications WHERE id = '{app}' AND deleted_at IS NOT NULL) AS deleted, \
             GREATEST(COALESCE((SELECT MAX(number) FROM messages WHERE app = '{app}' AND chat = {number}), 0), \
             COALESCE((SELECT deleted_up_to FROM chats WHERE app = '{app}' AND number = {number}), 0)) AS highest, \
             0 AS deleted_chats"
        );
        self.owner(call!("records", "highest_message"), query).await
    }

    async fn owner(&self, call: &Call, query: String) -> Result<StoredOwner> {
        let read =
            async |connection: &mut Connection| sql_query(&query).get_result(connection).await;
        self.pool.read(call, read).await
    }

    /// The versions of these messages, of those that are stored.
    pub async fn versions(
        &self,
        messages: &[MessageKey],
    ) -> Result<HashMap<MessageKey, StoredVersion>> {
        if messages.is_empty() {
            return Ok(HashMap::new());
        }
        let query = format!(
            "SELECT app, chat, number, revision, deleted_at IS NOT NULL OR number <= COALESCE((SELECT c.deleted_up_to \
             FROM chats c WHERE c.app = messages.app AND c.number = messages.chat), 0) AS deleted \
             FROM messages WHERE {}",
            keys::messages(messages)
        );
        let read = async |connection: &mut Connection| {
            sql_query(&query).load::<VersionRow>(connection).await
        };
        let rows = self.pool.read(call!("records", "versions"), read);
        let rows = rows.await?.into_iter().map(|row| {
            let chat = ChatKey {
                app: app_id(&row.app)?,
                number: unsigned(row.chat),
            };
            let key = MessageKey {
                chat,
                number: unsigned(row.number),
            };
            let version = StoredVersion {
                revision: Revision(unsigned(row.revision)),
                is_deleted: row.deleted,
            };
            Ok((key, version))
        });
        rows.collect()
    }
}
