//! Idempotency keys of what is stored.

use std::collections::{BTreeMap, HashSet};

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{keys, parents::Parents, pool::Connection, rows::unsigned};
use crate::domain::{AppId, ChatKey, Hash, KeyedCreation, MessageKey, Target};

/// A chat, or a message: chat 0 stands for a chat.
#[derive(QueryableByName)]
struct DeletedRow {
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Inserts the idempotency keys of creations, after their rows. The key of something that is deleted already gets no body;
/// in a deleted application or chat it gets no row.
pub(super) async fn insert_idempotency_keys(
    connection: &mut Connection,
    parents: &Parents,
    keyed: &[KeyedCreation],
) -> QueryResult<()> {
    // In the order of the rows, so that transactions that insert the same keys do not wait for each other in a circle.
    let keyed: BTreeMap<Hash, &KeyedCreation> = keyed
        .iter()
        .filter(|one| match one.target.chat {
            0 => !parents.application_is_deleted(one.target.app),
            _ => !parents.chat_is_deleted(one.target.chat()),
        })
        .map(|one| (one.key.id, one))
        .collect();
    if keyed.is_empty() {
        return Ok(());
    }
    let deleted = deleted(connection, keyed.values().map(|one| one.target)).await?;
    let rows = keyed.into_iter().map(|(id, one)| {
        let is_deleted = deleted.contains(&one.target)
            || message(one.target).is_some_and(|message| parents.mark_covers(message));
        let body = match is_deleted {
            true => "NULL".to_owned(),
            false => hex(one.key.body),
        };
        let Target { app, chat, number } = one.target;
        format!("({},'{app}',{chat},{number},{body})", hex(id))
    });
    let rows: Vec<String> = rows.collect();
    sql_query(format!(
        "INSERT INTO idempotency_keys (id, app, chat, number, body) VALUES {} ON DUPLICATE KEY UPDATE number = number",
        rows.join(",")
    ))
    .execute(connection)
    .await
    .map(drop)
}

/// Returns those of these chats and messages whose row is deleted.
async fn deleted(
    connection: &mut Connection,
    targets: impl Iterator<Item = Target>,
) -> QueryResult<HashSet<Target>> {
    let (mut messages, mut chats) = (Vec::new(), Vec::new());
    for target in targets {
        match message(target) {
            Some(message) => messages.push(message),
            None => chats.push(ChatKey {
                app: target.app,
                number: target.number,
            }),
        }
    }
    let mut rows: Vec<DeletedRow> = Vec::new();
    if !messages.is_empty() {
        let query = format!(
            "SELECT app, chat, number FROM messages WHERE {} AND deleted_at IS NOT NULL",
            keys::messages(&messages)
        );
        rows.extend(sql_query(query).load::<DeletedRow>(connection).await?);
    }
    if !chats.is_empty() {
        let query = format!(
            "SELECT app, 0 AS chat, number FROM chats WHERE {} AND deleted_at IS NOT NULL",
            keys::chats(&chats)
        );
        rows.extend(sql_query(query).load::<DeletedRow>(connection).await?);
    }
    let targets = rows.into_iter().filter_map(|row| {
        Some(Target {
            app: AppId::parse(&row.app)?,
            chat: unsigned(row.chat),
            number: unsigned(row.number),
        })
    });
    Ok(targets.collect())
}

/// Removes the bodies of the keys of deleted chats and messages: from then on they only say that it was deleted.
pub(super) async fn remove_bodies(
    connection: &mut Connection,
    deleted: impl Iterator<Item = Target>,
) -> QueryResult<()> {
    let targets = deleted.map(|Target { app, chat, number }| format!("('{app}',{chat},{number})"));
    let targets: Vec<String> = targets.collect();
    if targets.is_empty() {
        return Ok(());
    }
    sql_query(format!(
        "UPDATE idempotency_keys SET body = NULL WHERE (app, chat, number) IN ({}) AND body IS NOT NULL",
        targets.join(",")
    ))
    .execute(connection)
    .await
    .map(drop)
}

fn message(target: Target) -> Option<MessageKey> {
    (target.chat != 0).then(|| target.message())
}

/// A hash in SQL.
fn hex(hash: Hash) -> String {
    format!("X'{}'", hash.to_hex())
}
