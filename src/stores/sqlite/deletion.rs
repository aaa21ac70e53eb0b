//! Storing deletions of applications and chats. Their rows stay, without content. What belongs to them is erased later, in
//! steps (`erase.rs`).

use diesel::prelude::*;

use super::{
    credentials::revoke_keys,
    error::Outcome,
    idempotency, numbers,
    rows::{ApplicationRow, ChatRow, millis, signed},
    schema::{applications, chats, deletions, erasures},
};
use crate::domain::{AppId, Application, Chat, Number, Timestamp};

/// Stores the deletion of an application, and revokes its keys.
pub(super) fn delete_application(
    connection: &mut SqliteConnection,
    application: &Application,
    at: Timestamp,
) -> Outcome<()> {
    let id = application.id.to_string();
    let revision = signed(application.revision.0);
    let stored: Option<(i64, Option<i64>)> = applications::table
        .find(&id)
        .select((applications::revision, applications::deleted_at))
        .first(connection)
        .optional()?;
    match stored {
        Some((_, Some(_))) => return Ok(()),
        Some((before, None)) => {
            diesel::update(applications::table.find(&id))
                .set((
                    applications::username.eq(""),
                    applications::chats_count.eq(0),
                    applications::revision.eq(revision.max(before)),
                    applications::deleted_at.eq(Some(millis(at))),
                ))
                .execute(connection)?;
        }
        None => {
            diesel::insert_into(applications::table)
                .values(ApplicationRow {
                    id: id.clone(),
                    username: String::new(),
                    chats_count: 0,
                    revision,
                    created_at: millis(application.created_at),
                    deleted_at: Some(millis(at)),
                })
                .execute(connection)?;
        }
    }
    numbers::set_application_deleted(connection, &id)?;
    revoke_keys(connection, &id, at)?;
    log(connection, application.id, 0, 0, at)?;
    request_erasure(connection, &id, 0, None, revision, millis(at))?;
    Ok(())
}

/// Stores the deletion of a chat.
pub(super) fn delete_chat(
    connection: &mut SqliteConnection,
    chat: &Chat,
    at: Timestamp,
) -> Outcome<()> {
    let (app, number) = (chat.key.app.to_string(), signed(chat.key.number));
    let revision = signed(chat.revision.0);
    let row = chats::table.find((&app, number));
    let stored: Option<(i64, Option<i64>)> = row
        .select((chats::revision, chats::deleted_at))
        .first(connection)
        .optional()?;
    match stored {
        Some((_, Some(_))) => return Ok(()),
        Some((before, None)) => {
            diesel::update(row)
                .set((
                    chats::messages_count.eq(None::<i64>),
                    chats::revision.eq(revision.max(before)),
                    chats::deleted_at.eq(Some(millis(at))),
                ))
                .execute(connection)?;
            diesel::update(applications::table.find(&app))
                .set(applications::chats_count.eq(applications::chats_count - 1))
                .execute(connection)?;
        }
        None => {
            diesel::insert_into(chats::table)
                .values(ChatRow {
                    app: app.clone(),
                    number,
                    messages_count: None,
                    revision,
                    created_at: millis(chat.created_at),
                    deleted_at: Some(millis(at)),
                    deleted_up_to: 0,
                })
                .execute(connection)?;
        }
    }
    numbers::set_chat_deleted(connection, &app, number)?;
    idempotency::delete_body(connection, &app, 0, number)?;
    log(connection, chat.key.app, 0, chat.key.number, at)?;
    request_erasure(connection, &app, number, None, revision, millis(at))?;
    Ok(())
}

/// Adds a deletion to the log of all deletions. `chat` is that of a message, else 0.
pub(super) fn log(
    connection: &mut SqliteConnection,
    app: AppId,
    chat: Number,
    number: Number,
    at: Timestamp,
) -> QueryResult<()> {
    diesel::insert_into(deletions::table)
        .values((
            deletions::app.eq(app.to_string()),
            deletions::chat.eq(signed(chat)),
            deletions::number.eq(signed(number)),
            deletions::deleted_at.eq(millis(at)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Requests an erasure and returns its ID: of the content of a chat, of an application if `chat` is 0, or of the messages
/// of a user in it.
pub(super) fn request_erasure(
    connection: &mut SqliteConnection,
    app: &str,
    chat: i64,
    user: Option<&str>,
    until_revision: i64,
    now: i64,
) -> QueryResult<i64> {
    diesel::insert_into(erasures::table)
        .values((
            erasures::app.eq(app),
            erasures::chat.eq(chat),
            erasures::user.eq(user),
            erasures::until_revision.eq(until_revision),
            erasures::requested_at.eq(now),
        ))
        .returning(erasures::id)
        .get_result(connection)
}
