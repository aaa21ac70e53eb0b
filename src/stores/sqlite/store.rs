//! Storing batches: rows, counts and full text in one transaction, applied where they are newer.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    Embedded,
    error::{Outcome, failed},
    fts::Targets,
    rows::{
        ApplicationRow, ChatRow, MAX_MESSAGES, MessageRow, chat_id, message_id, millis, signed,
    },
    schema::{applications, chat_numbers, chats, messages},
    settle::check_lease,
};
use crate::{
    domain::{Application, Change, Chat, ChatKey, Entity, Message, text::tokenize},
    failpoints,
    stores::{
        Lease, Result,
        call::{Call, call},
    },
};

/// Message and its tokens, separated by spaces. Messages are tokenized before they reach the writer thread.
pub(super) struct TokenizedMessage {
    pub message: Message,
    pub tokens: String,
}

impl Embedded {
    pub(crate) async fn store(&self, lease: &Lease, changes: Vec<Change>) -> Result<()> {
        let changes = changes.into_iter();
        match lease.kind.entity() {
            Entity::Application => {
                let new = changes.filter_map(Change::into_application).collect();
                let call = call!("records", "store_applications");
                self.store_all(call, lease, new, insert_applications).await
            }
            Entity::Chat => {
                let new = changes.filter_map(Change::into_chat).collect();
                let call = call!("records", "store_chats");
                self.store_all(call, lease, new, insert_chats).await
            }
            Entity::Message => {
                let new = changes.filter_map(Change::into_message).collect();
                let call = call!("records", "store_messages");
                self.store_all(call, lease, tokenize_all(new).await?, upsert_messages)
                    .await
            }
        }
    }

    /// Runs one store transaction, for as long as the claim holds.
    async fn store_all<T: Send + 'static>(
        &self,
        call: &Call,
        lease: &Lease,
        new: Vec<T>,
        store: fn(&mut SqliteConnection, &[T]) -> Outcome<()>,
    ) -> Result<()> {
        let lease = lease.clone();
        let store = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                check_lease(connection, &lease)?;
                store(connection, &new)?;
                failpoints::hit("before_commit");
                Outcome::Ok(())
            })?;
            failpoints::hit("after_commit");
            Ok(())
        };
        self.writer.run(call, store).await
    }
}

fn insert_applications(connection: &mut SqliteConnection, new: &[Application]) -> Outcome<()> {
    for application in new {
        let id = application.id.to_string();
        let stored: i64 = chats::table
            .filter(chats::app.eq(&id))
            .count()
            .get_result(connection)?;
        // There is no second write to an application, so what is stored is this very one.
        diesel::insert_or_ignore_into(applications::table)
            .values(ApplicationRow {
                id,
                username: application.username.clone(),
                chats_count: stored,
                revision: signed(application.revision.0),
                created_at: millis(application.created_at),
            })
            .execute(connection)?;
    }
    Ok(())
}

fn insert_chats(connection: &mut SqliteConnection, new: &[Chat]) -> Outcome<()> {
    for chat in new {
        let app = chat.key.app.to_string();
        let inserted = diesel::insert_or_ignore_into(chats::table)
            .values(ChatRow {
                app: app.clone(),
                number: signed(chat.key.number),
                messages_count: stored_messages(connection, chat.key)?,
                revision: signed(chat.revision.0),
                created_at: millis(chat.created_at),
            })
            .execute(connection)?;
        if inserted > 0 {
            diesel::update(applications::table.find(app))
                .set(applications::chats_count.eq(applications::chats_count + 1))
                .execute(connection)?;
        }
    }
    Ok(())
}

/// Messages that were stored before their chat; `None` if there are none.
fn stored_messages(connection: &mut SqliteConnection, key: ChatKey) -> QueryResult<Option<i64>> {
    let Some(id) = chat_id(connection, key)? else {
        return Ok(None);
    };
    let count: i64 = messages::table
        .filter(messages::id.gt(id << 32))
        .filter(messages::id.le((id << 32) + MAX_MESSAGES))
        .count()
        .get_result(connection)?;
    Ok((count > 0).then_some(count))
}

fn upsert_messages(connection: &mut SqliteConnection, new: &[TokenizedMessage]) -> Outcome<()> {
    let targets = Targets::read(connection)?;
    let mut ids: HashMap<ChatKey, i64> = HashMap::new();
    let mut inserted: HashMap<ChatKey, i64> = HashMap::new();
    for TokenizedMessage { message, tokens } in new {
        let chat = match ids.get(&message.key.chat) {
            Some(id) => *id,
            None => {
                let id = chat_id_or_new(connection, message)?;
                ids.insert(message.key.chat, id);
                id
            }
        };
        let id = message_id(chat, message.key.number)
            .ok_or_else(|| failed(format!("{} cannot be stored", message.key)))?;
        let stored: Option<(i64, i64)> = messages::table
            .find(id)
            .select((messages::revision, messages::created_at))
            .first(connection)
            .optional()?;
        let changed = match stored {
            None => {
                diesel::insert_into(messages::table)
                    .values(MessageRow::new(id, message))
                    .execute(connection)?;
                *inserted.entry(message.key.chat).or_default() += 1;
                true
            }
            Some(stored) => update(connection, id, stored, message)?,
        };
        if changed {
            targets.write(connection, id, tokens, signed(message.revision.0))?;
        }
    }
    for (key, count) in inserted {
        sql_query(
            "UPDATE chats SET messages_count = COALESCE(messages_count, 0) + ? WHERE app = ? AND number = ?",
        )
        .bind::<BigInt, _>(count)
        .bind::<Text, _>(key.app.to_string())
        .bind::<BigInt, _>(signed(key.number))
        .execute(connection)?;
    }
    Ok(())
}

/// Updates a row: the newer text and data win, and only the creation itself, which has no update time, sets the creation
/// time. The sender is set by whatever write knows it. Returns true if text and data changed.
fn update(
    connection: &mut SqliteConnection,
    id: i64,
    (revision, created_at): (i64, i64),
    message: &Message,
) -> QueryResult<bool> {
    let row = messages::table.find(id);
    let created = millis(message.created_at);
    if message.updated_at.is_none() && created != created_at {
        diesel::update(row)
            .set(messages::created_at.eq(created))
            .execute(connection)?;
    }
    if message.sender.is_some() {
        diesel::update(row.filter(messages::sender.is_null()))
            .set(messages::sender.eq(&message.sender))
            .execute(connection)?;
    }
    if signed(message.revision.0) <= revision {
        return Ok(false);
    }
    diesel::update(row)
        .set((
            messages::text.eq(&message.text),
            messages::data.eq(&message.data),
            messages::updated_at.eq(message.updated_at.map(millis)),
            messages::revision.eq(signed(message.revision.0)),
        ))
        .execute(connection)?;
    Ok(true)
}

/// Returns a chat's ID. The queue assigns it; an unknown chat gets one, with this message as its last.
fn chat_id_or_new(connection: &mut SqliteConnection, message: &Message) -> QueryResult<i64> {
    let key = message.key.chat;
    match chat_id(connection, key)? {
        Some(id) => Ok(id),
        None => diesel::insert_into(chat_numbers::table)
            .values((
                chat_numbers::app.eq(key.app.to_string()),
                chat_numbers::number.eq(signed(key.number)),
                chat_numbers::messages.eq(signed(message.key.number)),
            ))
            .returning(chat_numbers::id)
            .get_result(connection),
    }
}

/// Tokenizes messages, in a thread that may take its time: long texts in other scripts than Latin take milliseconds.
pub(super) async fn tokenize_all(messages: Vec<Message>) -> Result<Vec<TokenizedMessage>> {
    let tokenizing = tokio::task::spawn_blocking(|| {
        let tokenized = messages.into_iter().map(|message| TokenizedMessage {
            tokens: tokenize(&message.text),
            message,
        });
        tokenized.collect()
    });
    tokenizing.await.map_err(failed)
}
