//! Storing batches of creations and updates: one idempotent upsert each, with what follows from it, in one transaction.
//!
//! Each transaction share-locks the parents of what it stores, and leaves out what they delete. So a deletion waits for the
//! transactions that do not know of it.

use std::collections::BTreeMap;

use diesel::{
    dsl::{DuplicatedKeys, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamp},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    idempotency::insert_idempotency_keys,
    keys,
    outbox::insert_outbox,
    parents::{Hold, Parents},
    pool::{Connection, Statements},
    rows::{ApplicationRow, ChatRow, MessageRow, signed},
    schema::{applications, chats, messages, state},
};
use crate::{
    domain::{Application, Change, Chat, ChatKey, Entity, KeyedCreation, Message, MessageKey},
    failpoints,
    stores::{Error, Lease, Result, call::call, format::FORMAT},
};

/// Origin of an application or chat that is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Its creation, which sets the creation time, whatever is stored.
    Creation,
    /// Its children, because its creation was lost: the creation time is a guess.
    Adoption,
}

/// "Apply if newer", except to a deleted row, which never changes. A later assignment of the same upsert sees what an
/// earlier one wrote, so `revision` comes last.
fn newer<T>(column: &str) -> SqlLiteral<T>
where
    T: diesel::sql_types::SqlType + diesel::sql_types::SingleValue,
{
    sql(&format!(
        "IF(deleted_at IS NULL AND VALUES(revision) > revision, VALUES({column}), {column})"
    ))
}

/// Creation time of an existing row: that of its creation, which may be stored after what else knows of it.
fn created_at(origin: Origin) -> SqlLiteral<Timestamp> {
    sql(match origin {
        Origin::Creation => "IF(deleted_at IS NULL, VALUES(created_at), created_at)",
        Origin::Adoption => "created_at",
    })
}

/// Creation time of an existing message: only its creation, which has no update time, may set it. Clocks are set back, so
/// the earlier of two times proves nothing.
fn created_at_of_message() -> SqlLiteral<Timestamp> {
    sql("IF(deleted_at IS NULL AND VALUES(updated_at) IS NULL, VALUES(created_at), created_at)")
}

/// Locks the epoch until the transaction ends, and tells whether it is the batch's, and whether the rows have this
/// program's format. A batch that was claimed under an older epoch must not commit after a counter was raised to the
/// stored numbers, and a program of an older format must not write what a newer one keeps.
pub(super) async fn hold_epoch(connection: &mut Connection, epoch: u64) -> QueryResult<bool> {
    let current: (i64, i64) = state::table
        .select((state::epoch, state::format))
        .for_share()
        .first(connection)
        .await?;
    Ok(current == (signed(epoch), signed(FORMAT)))
}

/// A number that no other store transaction has: rows that carry it were inserted by this one.
pub(super) fn new_batch() -> i64 {
    rand::random()
}

/// Sender of an existing message, set by whatever write knows it: it never changes.
fn sender() -> SqlLiteral<Nullable<Text>> {
    sql("IF(deleted_at IS NULL, COALESCE(sender, VALUES(sender)), NULL)")
}

impl Mysql {
    pub(crate) async fn store(
        &self,
        lease: &Lease,
        changes: Vec<Change>,
        keys: Vec<KeyedCreation>,
    ) -> Result<()> {
        // A lease without an epoch is none of this queue's.
        let epoch = lease.epoch.unwrap_or_default();
        let changes = changes.into_iter();
        match lease.kind.entity() {
            Entity::Application => {
                let all = changes.filter_map(Change::into_application);
                let (deleted, new): (Vec<_>, Vec<_>) =
                    all.partition(|one| one.deleted_at.is_some());
                let store = async {
                    self.insert_applications(epoch, &new, Origin::Creation)
                        .await?;
                    self.delete_applications(epoch, &deleted).await
                };
                call!("records", "store_applications").timed(store).await
            }
            Entity::Chat => {
                let all = changes.filter_map(Change::into_chat);
                let (deleted, new): (Vec<_>, Vec<_>) =
                    all.partition(|one| one.deleted_at.is_some());
                let store = async {
                    self.insert_chats(epoch, &new, &keys).await?;
                    self.delete_chats(epoch, &deleted, &keys).await
                };
                call!("records", "store_chats").timed(store).await
            }
            Entity::Message => {
                let all = newest_of_each(changes.filter_map(Change::into_message));
                let (deleted, new) = all
                    .into_iter()
                    .partition(|(_, one)| one.deleted_at.is_some());
                let store = async {
                    self.upsert_messages(epoch, &new, &keys).await?;
                    self.delete_messages(epoch, &deleted, &keys).await
                };
                call!("records", "store_messages").timed(store).await
            }
        }
    }

    pub(super) async fn insert_applications(
        &self,
        epoch: u64,
        new: &[Application],
        origin: Origin,
    ) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<&Application> = new.iter().collect();
        rows.sort_by_key(|application| application.id);
        let rows: Vec<ApplicationRow> = rows.into_iter().map(ApplicationRow::from).collect();
        let store = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(false);
            }
            diesel::insert_into(applications::table)
                .values(&rows)
                .on_conflict(DuplicatedKeys)
                .do_update()
                .set((
                    applications::username.eq(newer::<Text>("user_name")),
                    applications::created_at.eq(created_at(origin)),
                    applications::revision.eq(newer::<BigInt>("revision")),
                ))
                .execute(connection)
                .await?;
            failpoints::hit("before_commit");
            Ok(true)
        };
        self.run_transaction(store).await
    }

    pub(super) async fn insert_chats(
        &self,
        epoch: u64,
        new: &[Chat],
        keyed: &[KeyedCreation],
    ) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let mut new: Vec<&Chat> = new.iter().collect();
        new.sort_by_key(|chat| chat.key);
        let store = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(false);
            }
            insert_chats(connection, &new, keyed, Origin::Creation).await?;
            failpoints::hit("before_commit");
            Ok(true)
        };
        self.run_transaction(store).await
    }

    async fn upsert_messages(
        &self,
        epoch: u64,
        new: &BTreeMap<MessageKey, Message>,
        keyed: &[KeyedCreation],
    ) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let batch = new_batch();
        let store = async |connection: &mut Connection| {
            if !hold_epoch(connection, epoch).await? {
                return Ok(false);
            }
            let all = new.keys().copied();
            let parents = Parents::of_messages(connection, all, Hold::Shared).await?;
            let new = new
                .values()
                .filter(|one| !parents.message_is_deleted(one.key));
            let touched: Vec<MessageKey> = new.clone().map(|message| message.key).collect();
            let rows: Vec<MessageRow> = new.map(|one| MessageRow::new(one, batch)).collect();
            if !rows.is_empty() {
                upsert(connection, &rows).await?;
                sql_query(format!(
                    "INSERT INTO messages_count_deltas (app, chat, delta) \
                     SELECT app, chat, COUNT(*) FROM messages WHERE {} AND inserted_by = {batch} GROUP BY app, chat",
                    keys::messages(&touched)
                ))
                .execute(connection)
                .await?;
                insert_outbox(connection, &touched).await?;
            }
            insert_idempotency_keys(connection, &parents, keyed).await?;
            failpoints::hit("before_commit");
            Ok(true)
        };
        self.run_transaction(store).await
    }

    /// Runs a store transaction, which returns false if a newer epoch began or the format changed.
    pub(super) async fn run_transaction(&self, store: impl Statements<bool>) -> Result<()> {
        if !self.pool.transaction(store).await? {
            return Err(Error::Fenced(
                "since it was claimed, the queue began a new epoch, or the stores got another format"
                    .into(),
            ));
        }
        failpoints::hit("after_commit");
        Ok(())
    }
}

/// Inserts the rows of chats that are not deleted, with their count and their idempotency keys.
pub(super) async fn insert_chats(
    connection: &mut Connection,
    new: &[&Chat],
    keyed: &[KeyedCreation],
    origin: Origin,
) -> QueryResult<()> {
    let batch = new_batch();
    let all = new.iter().map(|chat| chat.key);
    let parents = Parents::of_chats(connection, all, Hold::Shared).await?;
    let new = new.iter().filter(|chat| !parents.chat_is_deleted(chat.key));
    let rows: Vec<ChatRow> = new.clone().map(|chat| ChatRow::new(chat, batch)).collect();
    let touched: Vec<ChatKey> = new.map(|chat| chat.key).collect();
    if rows.is_empty() {
        return Ok(());
    }
    diesel::insert_into(chats::table)
        .values(&rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set((
            chats::created_at.eq(created_at(origin)),
            chats::revision.eq(newer::<BigInt>("revision")),
        ))
        .execute(connection)
        .await?;
    sql_query(format!(
        "INSERT INTO chats_count_deltas (app, delta) \
         SELECT app, COUNT(*) FROM chats WHERE {} AND inserted_by = {batch} GROUP BY app",
        keys::chats(&touched)
    ))
    .execute(connection)
    .await?;
    insert_idempotency_keys(connection, &parents, keyed).await
}

async fn upsert(connection: &mut Connection, rows: &[MessageRow]) -> QueryResult<usize> {
    diesel::insert_into(messages::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set((
            messages::text.eq(newer::<Text>("text")),
            messages::data.eq(newer::<Nullable<Text>>("data")),
            messages::sender.eq(sender()),
            messages::created_at.eq(created_at_of_message()),
            messages::updated_at.eq(newer::<Nullable<Timestamp>>("updated_at")),
            messages::revision.eq(newer::<BigInt>("revision")),
        ))
        .execute(connection)
        .await
}

/// Merges the writes of a batch by message, in key order: batches that lock rows in the same order cannot deadlock.
fn newest_of_each(messages: impl Iterator<Item = Message>) -> BTreeMap<MessageKey, Message> {
    let mut newest = BTreeMap::new();
    for message in messages {
        let merged = match newest.remove(&message.key) {
            Some(other) => message.merge(other),
            None => message,
        };
        newest.insert(merged.key, merged);
    }
    newest
}
