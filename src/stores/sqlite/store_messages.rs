//! Storing messages: rows, counts and full text, applied where they are newer.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    deletion,
    error::{Outcome, failed},
    fts::Targets,
    idempotency,
    parents::{Parent, parent},
    rows::{MessageRow, message_id, millis, signed},
    schema::messages,
};
use crate::{
    domain::{ChatKey, Message, page::Item as _, text::tokenize},
    stores::Result,
};

/// Message and its tokens, separated by spaces. Messages are tokenized before they reach the writer thread.
pub(super) struct TokenizedMessage {
    pub message: Message,
    pub tokens: String,
}

/// Row of a message before a write is stored.
#[derive(Queryable)]
struct Stored {
    revision: i64,
    created_at: i64,
    deleted_at: Option<i64>,
}

/// Stores messages, except those of deleted chats and applications.
pub(super) fn store_messages(
    connection: &mut SqliteConnection,
    new: &[TokenizedMessage],
) -> Outcome<()> {
    let targets = Targets::read(connection)?;
    let mut parents: HashMap<ChatKey, Option<Parent>> = HashMap::new();
    let mut counts: HashMap<ChatKey, i64> = HashMap::new();
    for TokenizedMessage { message, tokens } in new {
        let key = message.key;
        let parent = match parents.get(&key.chat) {
            Some(parent) => *parent,
            None => {
                let parent = parent(connection, key)?;
                parents.insert(key.chat, parent);
                parent
            }
        };
        let Some(parent) = parent.filter(|parent| signed(key.number) > parent.deleted_up_to) else {
            continue;
        };
        let id = message_id(parent.id, key.number)
            .ok_or_else(|| failed(format!("{key} cannot be stored")))?;
        let stored: Option<Stored> = messages::table
            .find(id)
            .select((
                messages::revision,
                messages::created_at,
                messages::deleted_at,
            ))
            .first(connection)
            .optional()?;
        let mut revision = signed(message.revision.0);
        let changed = match &stored {
            // A deletion wins over any write, whatever their revisions.
            Some(stored) if stored.deleted_at.is_some() => false,
            Some(stored) if message.is_deleted() => {
                revision = revision.max(stored.revision);
                delete(connection, id, revision, message)?;
                *counts.entry(key.chat).or_default() -= 1;
                true
            }
            Some(stored) => update(connection, id, stored, message)?,
            None => {
                diesel::insert_into(messages::table)
                    .values(MessageRow::new(id, message))
                    .execute(connection)?;
                *counts.entry(key.chat).or_default() += i64::from(!message.is_deleted());
                true
            }
        };
        if changed {
            // A deleted message has a document without words, so that rows and documents can be compared.
            targets.write(connection, id, tokens, revision)?;
        }
        if let Some(at) = message.deleted_at.filter(|_| changed) {
            let ChatKey { app, number: chat } = key.chat;
            deletion::log(connection, app, chat, key.number, at)?;
            let (chat, number) = (signed(chat), signed(key.number));
            idempotency::delete_body(connection, &app.to_string(), chat, number)?;
        }
    }
    for (key, count) in counts {
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

/// Removes the content of a row.
fn delete(
    connection: &mut SqliteConnection,
    id: i64,
    revision: i64,
    message: &Message,
) -> QueryResult<()> {
    diesel::update(messages::table.find(id))
        .set((
            messages::text.eq(""),
            messages::data.eq(None::<String>),
            messages::sender.eq(None::<String>),
            messages::updated_at.eq(None::<i64>),
            messages::revision.eq(revision),
            messages::deleted_at.eq(message.deleted_at.map(millis)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Updates a row: the newer text and data win, and only the creation itself, which has no update time, sets the creation
/// time. The sender is set by whatever write knows it. Returns true if text and data changed.
fn update(
    connection: &mut SqliteConnection,
    id: i64,
    stored: &Stored,
    message: &Message,
) -> QueryResult<bool> {
    let row = messages::table.find(id);
    let created = millis(message.created_at);
    if message.updated_at.is_none() && created != stored.created_at {
        diesel::update(row)
            .set(messages::created_at.eq(created))
            .execute(connection)?;
    }
    if message.sender.is_some() {
        diesel::update(row.filter(messages::sender.is_null()))
            .set(messages::sender.eq(&message.sender))
            .execute(connection)?;
    }
    if signed(message.revision.0) <= stored.revision {
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
