//! Rows as they lie in the tables, and what they mean.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::schema::{applications, chats, messages};
use crate::{
    domain::{AppId, Application, Chat, ChatKey, Message, MessageKey, Revision, Timestamp},
    stores::{Error, Result},
};

/// Numbers fit: they are below 2^53, revisions below 2^63.
#[expect(clippy::cast_possible_wrap)]
pub fn signed(number: u64) -> i64 {
    number as i64
}

/// Converts a number that [`signed`] wrote. A negative number can only be corruption and reads as 0.
pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A time in SQL, in quotes.
pub fn time_literal(time: Timestamp) -> String {
    format!("'{}'", time.format("%Y-%m-%d %H:%M:%S%.3f"))
}

/// Parses a column of application IDs.
pub fn app_id(text: &str) -> Result<AppId> {
    AppId::parse(text).ok_or_else(|| Error::Failed {
        store: "MySQL",
        detail: format!("{text:?} in a column of application ids is none"),
    })
}

/// A row of `applications`.
#[derive(Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = applications)]
pub struct ApplicationRow {
    id: String,
    username: String,
    chats_count: i64,
    revision: i64,
    created_at: NaiveDateTime,
    deleted_at: Option<NaiveDateTime>,
}

impl From<&Application> for ApplicationRow {
    fn from(application: &Application) -> Self {
        Self {
            id: application.id.to_string(),
            username: application.username.clone(),
            chats_count: 0,
            revision: signed(application.revision.0),
            created_at: application.created_at.naive_utc(),
            deleted_at: application.deleted_at.map(|time| time.naive_utc()),
        }
    }
}

impl ApplicationRow {
    /// The application, and how many of its chats have been counted.
    pub fn read(self) -> Result<(Application, u64)> {
        let application = Application {
            id: app_id(&self.id)?,
            username: self.username,
            revision: Revision(unsigned(self.revision)),
            created_at: self.created_at.and_utc(),
            deleted_at: self.deleted_at.map(|time| time.and_utc()),
        };
        Ok((application, unsigned(self.chats_count)))
    }
}

/// A row of `chats`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = chats)]
pub struct ChatRow {
    app: String,
    number: i64,
    messages_count: Option<i64>,
    revision: i64,
    created_at: NaiveDateTime,
    inserted_by: i64,
    deleted_at: Option<NaiveDateTime>,
    deleted_up_to: i64,
}

impl ChatRow {
    /// The row that `batch` inserts.
    pub fn new(chat: &Chat, batch: i64) -> Self {
        Self {
            app: chat.key.app.to_string(),
            number: signed(chat.key.number),
            messages_count: None,
            revision: signed(chat.revision.0),
            created_at: chat.created_at.naive_utc(),
            inserted_by: batch,
            deleted_at: chat.deleted_at.map(|time| time.naive_utc()),
            deleted_up_to: signed(chat.deleted_up_to),
        }
    }

    /// The chat.
    pub fn read(self) -> Result<Chat> {
        Ok(Chat {
            key: ChatKey {
                app: app_id(&self.app)?,
                number: unsigned(self.number),
            },
            messages_count: self.messages_count.map(unsigned),
            deleted_up_to: unsigned(self.deleted_up_to),
            revision: Revision(unsigned(self.revision)),
            created_at: self.created_at.and_utc(),
            deleted_at: self.deleted_at.map(|time| time.and_utc()),
        })
    }
}

/// A row of `messages`.
#[derive(Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = messages)]
pub struct MessageRow {
    app: String,
    chat: i64,
    number: i64,
    text: String,
    revision: i64,
    created_at: NaiveDateTime,
    updated_at: Option<NaiveDateTime>,
    inserted_by: i64,
    sender: Option<String>,
    data: Option<String>,
    deleted_at: Option<NaiveDateTime>,
}

impl MessageRow {
    /// The row that `batch` inserts.
    pub fn new(message: &Message, batch: i64) -> Self {
        Self {
            app: message.key.chat.app.to_string(),
            chat: signed(message.key.chat.number),
            number: signed(message.key.number),
            text: message.text.clone(),
            revision: signed(message.revision.0),
            created_at: message.created_at.naive_utc(),
            updated_at: message.updated_at.map(|time| time.naive_utc()),
            inserted_by: batch,
            sender: message.sender.clone(),
            data: message.data.clone(),
            deleted_at: message.deleted_at.map(|time| time.naive_utc()),
        }
    }

    /// The message.
    pub fn read(self) -> Result<Message> {
        let chat = ChatKey {
            app: app_id(&self.app)?,
            number: unsigned(self.chat),
        };
        Ok(Message {
            key: MessageKey {
                chat,
                number: unsigned(self.number),
            },
            text: self.text,
            data: self.data,
            sender: self.sender,
            revision: Revision(unsigned(self.revision)),
            created_at: self.created_at.and_utc(),
            updated_at: self.updated_at.map(|time| time.and_utc()),
            deleted_at: self.deleted_at.map(|time| time.and_utc()),
        })
    }
}
