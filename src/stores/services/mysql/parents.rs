//! Applications and chats that stored entities belong to, and what of them is deleted.

use std::collections::{BTreeSet, HashMap, HashSet};

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{keys, pool::Connection, rows::unsigned};
use crate::domain::{AppId, ChatKey, MessageKey, Number};

/// Lock of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// None.
    Nothing,
    /// A shared lock until the transaction ends: no parent that is stored is deleted until then, and no mark moves.
    ///
    /// It is on entries of an index that holds all that is read (`by_deletion`), so InnoDB does not lock the rows
    /// (MySQL manual, "Locks Set by Different SQL Statements in InnoDB"). Updates of the counts in the rows go on.
    Shared,
}

/// Deleted parents of some entities.
#[derive(Debug, Default)]
pub(super) struct Parents {
    deleted_applications: HashSet<AppId>,
    deleted_chats: HashSet<ChatKey>,
    /// Numbers up to which all messages of a chat are deleted.
    deleted_up_to: HashMap<ChatKey, Number>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    app: String,
    /// Chat number; 0 for an application.
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Bool)]
    deleted: bool,
    #[diesel(sql_type = BigInt)]
    deleted_up_to: i64,
}

impl Parents {
    /// Reads the applications of chats.
    pub async fn of_chats(
        connection: &mut Connection,
        chats: impl Iterator<Item = ChatKey>,
        hold: Hold,
    ) -> QueryResult<Self> {
        let mut parents = Self::default();
        let applications = chats.map(|chat| chat.app).collect();
        parents
            .read_applications(connection, applications, hold)
            .await?;
        Ok(parents)
    }

    /// Reads the applications and chats of messages.
    pub async fn of_messages(
        connection: &mut Connection,
        messages: impl Iterator<Item = MessageKey>,
        hold: Hold,
    ) -> QueryResult<Self> {
        let mut parents = Self::default();
        let chats: BTreeSet<ChatKey> = messages.map(|message| message.chat).collect();
        let applications = chats.iter().map(|chat| chat.app).collect();
        parents
            .read_applications(connection, applications, hold)
            .await?;
        parents.read_chats(connection, chats, hold).await?;
        Ok(parents)
    }

    async fn read_applications(
        &mut self,
        connection: &mut Connection,
        mut applications: BTreeSet<AppId>,
        hold: Hold,
    ) -> QueryResult<()> {
        if hold == Hold::Shared {
            let query = format!(
                "SELECT id AS app, 0 AS number, FALSE AS deleted, 0 AS deleted_up_to \
                 FROM applications FORCE INDEX (by_deletion) \
                 WHERE deleted_at IS NULL AND {} ORDER BY id FOR SHARE",
                keys::applications(&applications)
            );
            for row in sql_query(query).load::<Row>(connection).await? {
                if let Some(app) = AppId::parse(&row.app) {
                    applications.remove(&app);
                }
            }
        }
        if applications.is_empty() {
            return Ok(());
        }
        let query = format!(
            "SELECT id AS app, 0 AS number, deleted_at IS NOT NULL AS deleted, 0 AS deleted_up_to \
             FROM applications WHERE {}",
            keys::applications(&applications)
        );
        for row in sql_query(query).load::<Row>(connection).await? {
            if row.deleted {
                self.deleted_applications.extend(AppId::parse(&row.app));
            }
        }
        Ok(())
    }

    async fn read_chats(
        &mut self,
        connection: &mut Connection,
        chats: BTreeSet<ChatKey>,
        hold: Hold,
    ) -> QueryResult<()> {
        let mut chats = Vec::from_iter(chats);
        if hold == Hold::Shared {
            // In the order of keys, so that transactions that lock the same entries do not wait for each other in a circle.
            let query = format!(
                "SELECT app, number, FALSE AS deleted, deleted_up_to FROM chats FORCE INDEX (by_deletion) \
                 WHERE deleted_at IS NULL AND {} ORDER BY app, number FOR SHARE",
                keys::chats(&chats)
            );
            let rows = sql_query(query).load::<Row>(connection).await?;
            let live: HashSet<ChatKey> = rows.iter().filter_map(|row| self.add_chat(row)).collect();
            chats.retain(|chat| !live.contains(chat));
        }
        if chats.is_empty() {
            return Ok(());
        }
        let query = format!(
            "SELECT app, number, deleted_at IS NOT NULL AS deleted, deleted_up_to FROM chats WHERE {}",
            keys::chats(&chats)
        );
        for row in sql_query(query).load::<Row>(connection).await? {
            self.add_chat(&row);
        }
        Ok(())
    }

    /// Adds what is deleted of a chat, and returns its key.
    fn add_chat(&mut self, row: &Row) -> Option<ChatKey> {
        let app = AppId::parse(&row.app)?;
        let number = unsigned(row.number);
        let chat = ChatKey { app, number };
        if row.deleted {
            self.deleted_chats.insert(chat);
        }
        if row.deleted_up_to > 0 {
            self.deleted_up_to.insert(chat, unsigned(row.deleted_up_to));
        }
        Some(chat)
    }

    /// Tells whether an application is deleted.
    pub fn application_is_deleted(&self, app: AppId) -> bool {
        self.deleted_applications.contains(&app)
    }

    /// Tells whether a chat or its application is deleted.
    pub fn chat_is_deleted(&self, chat: ChatKey) -> bool {
        self.application_is_deleted(chat.app) || self.deleted_chats.contains(&chat)
    }

    /// Tells whether a message is one of the first of its chat, which are all deleted.
    pub fn mark_covers(&self, message: MessageKey) -> bool {
        let mark = self.deleted_up_to.get(&message.chat);
        mark.is_some_and(|mark| message.number <= *mark)
    }

    /// Tells whether a message is deleted together with others.
    pub fn message_is_deleted(&self, message: MessageKey) -> bool {
        self.chat_is_deleted(message.chat) || self.mark_covers(message)
    }
}
