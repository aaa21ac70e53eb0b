//! Storing batches: rows, counts and full text in one transaction, applied where they are newer.

use diesel::prelude::*;

use super::{
    Embedded, deletion,
    error::Outcome,
    parents::is_application_deleted,
    rows::{ApplicationRow, ChatRow, MAX_MESSAGES, chat_id, millis, signed},
    schema::{applications, chats, messages},
    settle::check_lease,
    store_messages::{store_messages, tokenize_all},
};
use crate::{
    domain::{Application, Change, Chat, ChatKey, Entity, KeyedCreation},
    failpoints,
    stores::{
        Lease, Result,
        call::{Call, call},
    },
};

impl Embedded {
    pub(crate) async fn store(
        &self,
        lease: &Lease,
        changes: Vec<Change>,
        // They were stored when the creations were accepted.
        _keys: Vec<KeyedCreation>,
    ) -> Result<()> {
        let changes = changes.into_iter();
        match lease.kind.entity() {
            Entity::Application => {
                let new = changes.filter_map(Change::into_application).collect();
                let call = call!("records", "store_applications");
                self.store_all(call, lease, new, store_applications).await
            }
            Entity::Chat => {
                let new = changes.filter_map(Change::into_chat).collect();
                let call = call!("records", "store_chats");
                self.store_all(call, lease, new, store_chats).await
            }
            Entity::Message => {
                let new = changes.filter_map(Change::into_message).collect();
                let call = call!("records", "store_messages");
                self.store_all(call, lease, tokenize_all(new).await?, store_messages)
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

fn store_applications(connection: &mut SqliteConnection, new: &[Application]) -> Outcome<()> {
    for application in new {
        match application.deleted_at {
            Some(at) => deletion::delete_application(connection, application, at)?,
            None => insert_application(connection, application)?,
        }
    }
    Ok(())
}

/// Stores a creation. There is no other write to an application but its deletion, so a row that is there already stays.
fn insert_application(connection: &mut SqliteConnection, application: &Application) -> Outcome<()> {
    let id = application.id.to_string();
    let stored: i64 = chats::table
        .filter(chats::app.eq(&id))
        .filter(chats::deleted_at.is_null())
        .count()
        .get_result(connection)?;
    diesel::insert_or_ignore_into(applications::table)
        .values(ApplicationRow {
            id,
            username: application.username.clone(),
            chats_count: stored,
            revision: signed(application.revision.0),
            created_at: millis(application.created_at),
            deleted_at: None,
        })
        .execute(connection)?;
    Ok(())
}

/// Stores chats, except those of deleted applications.
fn store_chats(connection: &mut SqliteConnection, new: &[Chat]) -> Outcome<()> {
    for chat in new {
        if is_application_deleted(connection, &chat.key.app.to_string())? {
            continue;
        }
        match chat.deleted_at {
            Some(at) => deletion::delete_chat(connection, chat, at)?,
            None => insert_chat(connection, chat)?,
        }
    }
    Ok(())
}

fn insert_chat(connection: &mut SqliteConnection, chat: &Chat) -> Outcome<()> {
    let app = chat.key.app.to_string();
    let inserted = diesel::insert_or_ignore_into(chats::table)
        .values(ChatRow {
            app: app.clone(),
            number: signed(chat.key.number),
            messages_count: stored_messages(connection, chat.key)?,
            revision: signed(chat.revision.0),
            created_at: millis(chat.created_at),
            deleted_at: None,
            deleted_up_to: 0,
        })
        .execute(connection)?;
    if inserted > 0 {
        diesel::update(applications::table.find(app))
            .set(applications::chats_count.eq(applications::chats_count + 1))
            .execute(connection)?;
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
        .filter(messages::deleted_at.is_null())
        .count()
        .get_result(connection)?;
    Ok((count > 0).then_some(count))
}
