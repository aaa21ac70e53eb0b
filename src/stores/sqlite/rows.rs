//! Rows as they lie in the tables, and what they mean.

use std::ops::Range;

use diesel::prelude::*;

use super::{
    error::failed,
    schema::{applications, chat_numbers, chats, messages},
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Message, MessageKey, Page, Revision, Timestamp,
        time::from_millis,
    },
    stores::Result,
};

/// The highest message number: a message's row id is its chat's id and, in the lower 32 bits, its number.
pub(super) const MAX_MESSAGES: i64 = u32::MAX as i64;

/// Numbers fit: they are below 2^53, revisions below 2^63.
#[expect(clippy::cast_possible_wrap)]
pub(super) fn signed(number: u64) -> i64 {
    number as i64
}

/// Converts a number that [`signed`] wrote. A negative number can only be corruption and reads as 0.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Parses a column of application IDs.
pub(super) fn app_id(text: &str) -> Result<AppId> {
    AppId::parse(text)
        .ok_or_else(|| failed(format!("{text:?} in a column of application ids is none")))
}

/// Returns the ID of a chat in row IDs and in the index; `None` if the chat was never created.
pub(super) fn chat_id(connection: &mut SqliteConnection, key: ChatKey) -> QueryResult<Option<i64>> {
    chat_numbers::table
        .filter(chat_numbers::app.eq(key.app.to_string()))
        .filter(chat_numbers::number.eq(signed(key.number)))
        .select(chat_numbers::id)
        .first(connection)
        .optional()
}

/// A message's row id; `None` if there cannot be such a message.
pub(super) fn message_id(chat_id: i64, number: u64) -> Option<i64> {
    let number = signed(number);
    (1..=MAX_MESSAGES)
        .contains(&number)
        .then_some(chat_id << 32 | number)
}

/// The row ids of a page of a chat's messages.
pub(super) fn span(chat_id: i64, page: &Page) -> Range<i64> {
    let clamp = |number: u64| signed(number.min(unsigned(MAX_MESSAGES) + 1));
    let first = clamp(page.after.unwrap_or(0)) + 1;
    let end = page.before.map_or(MAX_MESSAGES + 1, clamp);
    (chat_id << 32) + first..(chat_id << 32) + end
}

/// The row ids of all messages of a chat.
pub(super) fn chat_span(chat_id: i64) -> Range<i64> {
    (chat_id << 32) + 1..(chat_id + 1) << 32
}

/// A row of `applications`.
#[derive(Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = applications)]
pub(super) struct ApplicationRow {
    pub id: String,
    pub username: String,
    pub chats_count: i64,
    pub revision: i64,
    pub created_at: i64,
    pub deleted_at: Option<i64>,
}

impl ApplicationRow {
    /// The application, and how many of its chats are stored.
    pub fn read(self) -> Result<(Application, u64)> {
        let application = Application {
            id: app_id(&self.id)?,
            username: self.username,
            revision: Revision(unsigned(self.revision)),
            created_at: from_millis(self.created_at),
            deleted_at: self.deleted_at.map(from_millis),
        };
        Ok((application, unsigned(self.chats_count)))
    }
}

/// A row of `chats`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = chats)]
pub(super) struct ChatRow {
    pub app: String,
    pub number: i64,
    pub messages_count: Option<i64>,
    pub revision: i64,
    pub created_at: i64,
    pub deleted_at: Option<i64>,
    pub deleted_up_to: i64,
}

impl ChatRow {
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
            created_at: from_millis(self.created_at),
            deleted_at: self.deleted_at.map(from_millis),
        })
    }
}

/// A row of `messages`.
#[derive(Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = messages)]
pub(super) struct MessageRow {
    id: i64,
    app: String,
    chat: i64,
    number: i64,
    text: String,
    revision: i64,
    created_at: i64,
    updated_at: Option<i64>,
    sender: Option<String>,
    data: Option<String>,
    deleted_at: Option<i64>,
}

impl MessageRow {
    /// The row of that id.
    pub fn new(id: i64, message: &Message) -> Self {
        Self {
            id,
            app: message.key.chat.app.to_string(),
            chat: signed(message.key.chat.number),
            number: signed(message.key.number),
            text: message.text.clone(),
            revision: signed(message.revision.0),
            created_at: millis(message.created_at),
            updated_at: message.updated_at.map(millis),
            sender: message.sender.clone(),
            data: message.data.clone(),
            deleted_at: message.deleted_at.map(millis),
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
            created_at: from_millis(self.created_at),
            updated_at: self.updated_at.map(from_millis),
            deleted_at: self.deleted_at.map(from_millis),
        })
    }
}

/// Converts a time to milliseconds since 1970, as stored.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_never_reaches_into_another_chat() {
        let page = |after, before| Page {
            after,
            before,
            limit: 1,
            bytes: usize::MAX,
        };
        let chat = 7_i64 << 32;
        let next = 8_i64 << 32;
        assert_eq!(span(7, &page(None, None)), chat + 1..next);
        assert_eq!(span(7, &page(Some(3), Some(9))), chat + 4..chat + 9);
        assert!(span(7, &page(Some(u64::MAX), Some(1 << 53))).is_empty());
        assert_eq!(message_id(7, 1 << 32), None);
        assert_eq!(message_id(7, 0), None);
        assert_eq!(message_id(7, (1 << 32) - 1), Some(next - 1));
    }
}
