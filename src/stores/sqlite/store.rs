//! Storing batches: rows, counts and full text in one transaction, applied where they are newer.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{
    claim::EPOCH,
    error::{Outcome, failed},
    rows::{
        ApplicationRow, ChatRow, MAX_MESSAGES, MessageRow, chat_id, message_id, millis, signed,
    },
    schema::{applications, chat_numbers, chats, messages},
    words::{self, Targets},
};
use crate::{
    domain::{Application, Chat, ChatKey, Message},
    failpoints,
    stores::{Error, Result},
};

/// A message and its words, which were found before it is the writer's turn.
pub(super) struct Worded {
    pub message: Message,
    pub words: String,
}

/// Makes sure that a batch is of this queue.
pub(super) fn check_epoch(epoch: u64) -> Result<()> {
    if epoch == EPOCH {
        return Ok(());
    }
    Err(Error::Fenced(format!(
        "it was claimed under epoch {epoch}; here there is only {EPOCH}"
    )))
}

/// Runs one store transaction.
fn store(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Outcome<()>,
) -> Outcome<()> {
    connection.immediate_transaction(|connection| {
        work(connection)?;
        failpoints::hit("before_commit");
        Outcome::Ok(())
    })?;
    failpoints::hit("after_commit");
    Ok(())
}

pub(super) fn applications(connection: &mut SqliteConnection, new: &[Application]) -> Outcome<()> {
    store(connection, |connection| {
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
    })
}

pub(super) fn chats(connection: &mut SqliteConnection, new: &[Chat]) -> Outcome<()> {
    store(connection, |connection| {
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
    })
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

pub(super) fn messages(connection: &mut SqliteConnection, new: &[Worded]) -> Outcome<()> {
    store(connection, |connection| {
        let targets = Targets::read(connection)?;
        let mut ids: HashMap<ChatKey, i64> = HashMap::new();
        let mut inserted: HashMap<ChatKey, i64> = HashMap::new();
        for Worded { message, words } in new {
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
                targets.lay(connection, id, words, signed(message.revision.0))?;
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
    })
}

/// The newer text wins, the earlier creation holds; tells whether the text is now this one.
fn update(
    connection: &mut SqliteConnection,
    id: i64,
    (revision, created_at): (i64, i64),
    message: &Message,
) -> QueryResult<bool> {
    let row = messages::table.find(id);
    let created = millis(message.created_at);
    if created < created_at {
        diesel::update(row)
            .set(messages::created_at.eq(created))
            .execute(connection)?;
    }
    if signed(message.revision.0) <= revision {
        return Ok(false);
    }
    diesel::update(row)
        .set((
            messages::text.eq(&message.text),
            messages::updated_at.eq(message.updated_at.map(millis)),
            messages::revision.eq(signed(message.revision.0)),
        ))
        .execute(connection)?;
    Ok(true)
}

/// The queue has given every chat its id; one that it does not know goes on from this message.
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

/// Finds the words of messages. Of long texts in other scripts that takes milliseconds, so it has a thread for itself.
pub(super) async fn find_words(messages: &[Message]) -> Result<Vec<Worded>> {
    let messages = messages.to_vec();
    let finding = tokio::task::spawn_blocking(|| {
        let worded = messages.into_iter().map(|message| Worded {
            words: words::of(&message.text),
            message,
        });
        worded.collect()
    });
    finding.await.map_err(failed)
}
