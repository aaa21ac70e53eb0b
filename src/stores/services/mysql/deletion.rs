//! Storing deletions: the row of what is deleted stays, without content, so that no later write restores it.
//!
//! A deletion locks the rows, counts those that exist, and marks them, in one transaction. A row that is missing, because the
//! creation is not stored yet, is inserted as a deleted one. If that creation had an idempotency key, the deletion has it, too,
//! as the creation may never be stored.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{
    dsl::{DuplicatedKeys, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, SingleValue, SqlType, Text, Timestamp},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    credentials::revoke_keys_of,
    idempotency::{insert_idempotency_keys, remove_bodies},
    keys,
    outbox::insert_outbox,
    parents::{Hold, Parents},
    pool::Connection,
    rows::{ApplicationRow, ChatRow, MessageRow},
    schema::{applications, chats, messages},
    store::{hold_epoch, new_batch},
};
use crate::{
    domain::{AppId, Application, Chat, ChatKey, KeyedCreation, Message, MessageKey, Target},
    failpoints,
    stores::Result,
};

/// Value of a row that is not deleted yet; a deleted one keeps its own.
fn once<T: SqlType + SingleValue>(value: &str, column: &str) -> SqlLiteral<T> {
    sql(&format!("IF(deleted_at IS NULL, {value}, {column})"))
}

/// Locks existing rows, and changes nothing in them.
fn unchanged() -> SqlLiteral<BigInt> {
    sql("revision")
}

/// A later write may be stored already. The index takes the deletion only if its revision is not below.
fn raised() -> SqlLiteral<BigInt> {
    sql("GREATEST(revision, VALUES(revision))")
}

/// The last assignment of an upsert, because the others depend on it.
fn deleted_at() -> SqlLiteral<Nullable<Timestamp>> {
    sql("COALESCE(deleted_at, VALUES(deleted_at))")
}

impl Mysql {
    pub(super) async fn delete_messages(
        &self,
        epoch: u64,
        deleted: &BTreeMap<MessageKey, Message>,
        keyed: &[KeyedCreation],
    ) -> Result<()> {
        if deleted.is_empty() {
            return Ok(());
        }
        let batch = new_batch();
        let delete = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(false);
            }
            let all = deleted.keys().copied();
            let parents = Parents::of_messages(connection, all, Hold::Shared).await?;
            let deleted = deleted
                .values()
                .filter(|one| !parents.message_is_deleted(one.key));
            let touched: Vec<MessageKey> = deleted.clone().map(|message| message.key).collect();
            let rows: Vec<MessageRow> = deleted.map(|one| MessageRow::new(one, batch)).collect();
            if rows.is_empty() {
                return Ok(true);
            }
            mark_messages(connection, &rows, &touched).await?;
            sql_query(format!(
                "INSERT INTO deletions (app, chat, number, deleted_at) \
                 SELECT app, chat, number, deleted_at FROM messages WHERE {} AND inserted_by = {batch}",
                keys::messages(&touched)
            ))
            .execute(connection)
            .await?;
            insert_idempotency_keys(connection, &parents, keyed).await?;
            remove_bodies(connection, touched.iter().copied().map(Target::from)).await?;
            insert_outbox(connection, &touched).await?;
            failpoints::hit("before_commit");
            Ok(true)
        };
        self.run_transaction(delete).await
    }

    pub(super) async fn delete_chats(
        &self,
        epoch: u64,
        deleted: &[Chat],
        keyed: &[KeyedCreation],
    ) -> Result<()> {
        if deleted.is_empty() {
            return Ok(());
        }
        let batch = new_batch();
        let mut deleted: Vec<&Chat> = deleted.iter().collect();
        deleted.sort_by_key(|chat| chat.key);
        let delete = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(false);
            }
            let all = deleted.iter().map(|chat| chat.key);
            let parents = Parents::of_chats(connection, all, Hold::Shared).await?;
            let deleted = deleted
                .iter()
                .filter(|chat| !parents.chat_is_deleted(chat.key));
            let touched: Vec<ChatKey> = deleted.clone().map(|chat| chat.key).collect();
            let rows: Vec<ChatRow> = deleted.map(|chat| ChatRow::new(chat, batch)).collect();
            if rows.is_empty() {
                return Ok(true);
            }
            mark_chats(connection, &rows, &touched).await?;
            let marked = format!("{} AND inserted_by = {batch}", keys::chats(&touched));
            for statement in [
                format!(
                    "INSERT INTO deletions (app, chat, number, deleted_at) \
                     SELECT app, 0, number, deleted_at FROM chats WHERE {marked}"
                ),
                format!(
                    "INSERT INTO erasures (app, chat, until_revision, requested_at) \
                     SELECT app, number, revision, deleted_at FROM chats WHERE {marked}"
                ),
            ] {
                sql_query(statement).execute(connection).await?;
            }
            let targets = touched.iter().map(|ChatKey { app, number }| Target {
                app: *app,
                chat: 0,
                number: *number,
            });
            insert_idempotency_keys(connection, &parents, keyed).await?;
            remove_bodies(connection, targets).await?;
            failpoints::hit("before_commit");
            Ok(true)
        };
        self.run_transaction(delete).await
    }

    /// Also revokes the keys of the applications.
    pub(super) async fn delete_applications(
        &self,
        epoch: u64,
        deleted: &[Application],
    ) -> Result<()> {
        if deleted.is_empty() {
            return Ok(());
        }
        let mut deleted: Vec<&Application> = deleted.iter().collect();
        deleted.sort_by_key(|application| application.id);
        let delete = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(false);
            }
            let all: BTreeSet<AppId> = deleted.iter().map(|application| application.id).collect();
            let marked: Vec<String> = applications::table
                .filter(sql::<diesel::sql_types::Bool>(&keys::applications(&all)))
                .filter(applications::deleted_at.is_not_null())
                .select(applications::id)
                .for_update()
                .load(connection)
                .await?;
            let new = deleted
                .iter()
                .filter(|one| !marked.contains(&one.id.to_string()));
            let new: Vec<&Application> = new.copied().collect();
            let rows: Vec<ApplicationRow> =
                new.iter().map(|one| ApplicationRow::from(*one)).collect();
            if rows.is_empty() {
                return Ok(true);
            }
            diesel::insert_into(applications::table)
                .values(&rows)
                .on_conflict(DuplicatedKeys)
                .do_update()
                .set((
                    applications::username.eq(once::<Text>("''", "user_name")),
                    applications::revision.eq(raised()),
                    applications::deleted_at.eq(deleted_at()),
                ))
                .execute(connection)
                .await?;
            let ids = new.iter().map(|application| application.id).collect();
            let touched = keys::applications(&ids);
            for statement in [
                format!(
                    "INSERT INTO deletions (app, chat, number, deleted_at) \
                     SELECT id, 0, 0, deleted_at FROM applications WHERE {touched}"
                ),
                format!(
                    "INSERT INTO erasures (app, chat, until_revision, requested_at) \
                     SELECT id, 0, revision, deleted_at FROM applications WHERE {touched}"
                ),
            ] {
                sql_query(statement).execute(connection).await?;
            }
            revoke_keys_of(connection, &new).await?;
            failpoints::hit("before_commit");
            Ok(true)
        };
        self.run_transaction(delete).await
    }
}

/// Marks messages as deleted. Rows that are marked by this transaction get its ID.
async fn mark_messages(
    connection: &mut Connection,
    rows: &[MessageRow],
    touched: &[MessageKey],
) -> QueryResult<()> {
    diesel::insert_into(messages::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set(messages::revision.eq(unchanged()))
        .execute(connection)
        .await?;
    // Rows that were just inserted are deleted, and were never counted.
    sql_query(format!(
        "INSERT INTO messages_count_deltas (app, chat, delta) \
         SELECT app, chat, -COUNT(*) FROM messages WHERE {} AND deleted_at IS NULL GROUP BY app, chat",
        keys::messages(touched)
    ))
    .execute(connection)
    .await?;
    diesel::insert_into(messages::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set((
            messages::text.eq(once::<Text>("''", "text")),
            messages::data.eq(once::<Nullable<Text>>("NULL", "data")),
            messages::sender.eq(once::<Nullable<Text>>("NULL", "sender")),
            messages::inserted_by.eq(once::<BigInt>("VALUES(inserted_by)", "inserted_by")),
            messages::revision.eq(raised()),
            messages::deleted_at.eq(deleted_at()),
        ))
        .execute(connection)
        .await
        .map(drop)
}

/// Marks chats as deleted, as [`mark_messages`] does.
async fn mark_chats(
    connection: &mut Connection,
    rows: &[ChatRow],
    touched: &[ChatKey],
) -> QueryResult<()> {
    diesel::insert_into(chats::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set(chats::revision.eq(unchanged()))
        .execute(connection)
        .await?;
    sql_query(format!(
        "INSERT INTO chats_count_deltas (app, delta) \
         SELECT app, -COUNT(*) FROM chats WHERE {} AND deleted_at IS NULL GROUP BY app",
        keys::chats(touched)
    ))
    .execute(connection)
    .await?;
    diesel::insert_into(chats::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set((
            chats::inserted_by.eq(once::<BigInt>("VALUES(inserted_by)", "inserted_by")),
            chats::revision.eq(raised()),
            chats::deleted_at.eq(deleted_at()),
        ))
        .execute(connection)
        .await
        .map(drop)
}
