//! Numbers that were given out, and which of them exist: those whose deletion was not accepted.

use std::collections::{HashMap, hash_map::Entry};

use diesel::{
    dsl::{exists, not},
    prelude::*,
};

use super::{
    rows::{MAX_MESSAGES, signed},
    schema::{app_numbers, chat_numbers},
};
use crate::{
    domain::{AppId, ChatKey},
    stores::{Error, Result},
};

/// Returns the ID of a chat, and how many messages it has been given, unless the chat or its application is deleted.
fn find_chat(
    connection: &mut SqliteConnection,
    app: &str,
    number: i64,
) -> QueryResult<Option<(i64, i64)>> {
    let deleted_app = app_numbers::table
        .filter(app_numbers::app.eq(chat_numbers::app))
        .filter(app_numbers::deleted.eq(true));
    chat_numbers::table
        .filter(chat_numbers::app.eq(app))
        .filter(chat_numbers::number.eq(number))
        .filter(chat_numbers::deleted.eq(false))
        .filter(not(exists(deleted_app)))
        .select((chat_numbers::id, chat_numbers::messages))
        .first(connection)
        .optional()
}

/// Returns the ID of a chat that exists.
pub(super) fn existing_chat(
    connection: &mut SqliteConnection,
    key: ChatKey,
) -> QueryResult<Option<i64>> {
    let found = find_chat(connection, &key.app.to_string(), signed(key.number))?;
    Ok(found.map(|(id, _)| id))
}

/// Returns how many chats an application that exists has.
pub(super) fn existing_application(
    connection: &mut SqliteConnection,
    app: AppId,
) -> QueryResult<Option<i64>> {
    app_numbers::table
        .find(app.to_string())
        .filter(app_numbers::deleted.eq(false))
        .select(app_numbers::chats - app_numbers::deleted_chats)
        .first(connection)
        .optional()
}

/// Counter of a chat's messages.
pub(super) struct Chat {
    /// ID in row IDs.
    pub id: i64,
    /// Numbers given out.
    pub messages: i64,
    /// Tells whether `messages` differs from the file.
    changed: bool,
    /// Tells whether the deletion of the chat or of its application was accepted since it was read.
    deleted: bool,
}

impl Chat {
    /// The number of its next message.
    pub fn next(&mut self) -> Result<i64> {
        if self.messages >= MAX_MESSAGES {
            let full = format!("a chat holds at most {MAX_MESSAGES} messages in one file");
            return Err(Error::Full(full));
        }
        self.messages += 1;
        self.changed = true;
        Ok(self.messages)
    }
}

/// The chats that the writes of one transaction are into. Many of a group are into one chat: it is read and written once.
#[derive(Default)]
pub(super) struct Chats(HashMap<(String, i64), Chat>);

impl Chats {
    /// A chat, if it exists.
    pub fn find(
        &mut self,
        connection: &mut SqliteConnection,
        app: &str,
        number: i64,
    ) -> QueryResult<Option<&mut Chat>> {
        let chat = match self.0.entry((app.to_owned(), number)) {
            Entry::Occupied(chat) => Some(chat.into_mut()),
            Entry::Vacant(entry) => {
                let found = find_chat(connection, app, number)?;
                found.map(|(id, messages)| {
                    entry.insert(Chat {
                        id,
                        messages,
                        changed: false,
                        deleted: false,
                    })
                })
            }
        };
        Ok(chat.filter(|chat| !chat.deleted))
    }

    /// Deletes a chat that exists.
    pub fn delete(
        &mut self,
        connection: &mut SqliteConnection,
        app: &str,
        number: i64,
    ) -> QueryResult<()> {
        set_chat_deleted(connection, app, number)?;
        if let Some(chat) = self.0.get_mut(&(app.to_owned(), number)) {
            chat.deleted = true;
        }
        Ok(())
    }

    /// Deletes an application that exists, with its chats.
    pub fn delete_application(
        &mut self,
        connection: &mut SqliteConnection,
        app: &str,
    ) -> QueryResult<()> {
        set_application_deleted(connection, app)?;
        for ((owner, _), chat) in &mut self.0 {
            chat.deleted |= owner == app;
        }
        Ok(())
    }

    /// Writes the counters that changed.
    pub fn close(self, connection: &mut SqliteConnection) -> QueryResult<()> {
        for chat in self.0.values().filter(|chat| chat.changed) {
            diesel::update(chat_numbers::table.find(chat.id))
                .set(chat_numbers::messages.eq(chat.messages))
                .execute(connection)?;
        }
        Ok(())
    }
}

/// Tells whether an application exists.
pub(super) fn has_application(connection: &mut SqliteConnection, app: &str) -> QueryResult<bool> {
    let app = app_numbers::table
        .find(app)
        .filter(app_numbers::deleted.eq(false));
    diesel::select(exists(app)).get_result(connection)
}

/// Registers an application ID; false if it is taken. The ID of a deleted application stays taken.
pub(super) fn register(connection: &mut SqliteConnection, app: &str) -> QueryResult<bool> {
    let new = (app_numbers::app.eq(app), app_numbers::chats.eq(0));
    let inserted = diesel::insert_or_ignore_into(app_numbers::table)
        .values(new)
        .execute(connection)?;
    Ok(inserted > 0)
}

/// Gives out the number of the next chat of an application that exists.
pub(super) fn next_chat(connection: &mut SqliteConnection, app: &str) -> QueryResult<i64> {
    let number: i64 = diesel::update(app_numbers::table.find(app))
        .set(app_numbers::chats.eq(app_numbers::chats + 1))
        .returning(app_numbers::chats)
        .get_result(connection)?;
    diesel::insert_into(chat_numbers::table)
        .values((
            chat_numbers::app.eq(app),
            chat_numbers::number.eq(number),
            chat_numbers::messages.eq(0),
        ))
        .execute(connection)?;
    Ok(number)
}

/// Notes that the deletion of a chat was accepted.
pub(super) fn set_chat_deleted(
    connection: &mut SqliteConnection,
    app: &str,
    number: i64,
) -> QueryResult<()> {
    let chat = chat_numbers::table
        .filter(chat_numbers::app.eq(app))
        .filter(chat_numbers::number.eq(number))
        .filter(chat_numbers::deleted.eq(false));
    let deleted = diesel::update(chat)
        .set(chat_numbers::deleted.eq(true))
        .execute(connection)?;
    if deleted > 0 {
        diesel::update(app_numbers::table.find(app))
            .set(app_numbers::deleted_chats.eq(app_numbers::deleted_chats + 1))
            .execute(connection)?;
    }
    Ok(())
}

/// Notes that the deletion of an application was accepted.
pub(super) fn set_application_deleted(
    connection: &mut SqliteConnection,
    app: &str,
) -> QueryResult<()> {
    diesel::update(app_numbers::table.find(app))
        .set(app_numbers::deleted.eq(true))
        .execute(connection)?;
    Ok(())
}
