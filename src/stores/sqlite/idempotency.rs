//! Idempotency keys. They are written in the transaction that accepts the creation.

use diesel::prelude::*;

use super::{new_job::NewJob, rows::unsigned, schema::idempotency_keys};
use crate::{domain::IdempotencyKey, stores::Enqueued};

/// What was created with a key.
pub(super) struct Created {
    /// Number of the chat or message.
    pub number: i64,
    /// Hash of the body; `None` once it is deleted.
    body: Option<Vec<u8>>,
}

impl Created {
    /// Outcome of another creation with the key. `exists` tells whether what was created exists.
    pub fn outcome(&self, key: &IdempotencyKey, exists: bool) -> Enqueued {
        match &self.body {
            Some(body) if exists && *body == key.body.0 => Enqueued::Replayed {
                number: unsigned(self.number),
            },
            Some(_) if exists => Enqueued::KeyReused,
            _ => Enqueued::ReplayedDeleted,
        }
    }
}

/// Finds what was created with the key of a creation.
pub(super) fn find(
    connection: &mut SqliteConnection,
    key: &IdempotencyKey,
) -> QueryResult<Option<Created>> {
    let found: Option<(i64, Option<Vec<u8>>)> = idempotency_keys::table
        .find(key.id.0.as_slice())
        .select((idempotency_keys::number, idempotency_keys::body))
        .first(connection)
        .optional()?;
    Ok(found.map(|(number, body)| Created { number, body }))
}

/// Keeps the key of an accepted creation.
pub(super) fn insert(
    connection: &mut SqliteConnection,
    write: &NewJob,
    key: &IdempotencyKey,
    number: i64,
) -> QueryResult<()> {
    diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::id.eq(key.id.0.as_slice()),
            idempotency_keys::app.eq(&write.app),
            idempotency_keys::chat.eq(write.chat),
            idempotency_keys::number.eq(number),
            idempotency_keys::body.eq(Some(key.body.0.as_slice())),
        ))
        .execute(connection)?;
    Ok(())
}

/// Removes the hash of the body with which a chat or message was created, as it is deleted. Its key cannot be used again.
pub(super) fn delete_body(
    connection: &mut SqliteConnection,
    app: &str,
    chat: i64,
    number: i64,
) -> QueryResult<()> {
    let key = idempotency_keys::table
        .filter(idempotency_keys::app.eq(app))
        .filter(idempotency_keys::chat.eq(chat))
        .filter(idempotency_keys::number.eq(number));
    diesel::update(key)
        .set(idempotency_keys::body.eq(None::<Vec<u8>>))
        .execute(connection)?;
    Ok(())
}
