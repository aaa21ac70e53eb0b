//! Storing batches: one idempotent upsert each, with what follows from it, in one transaction.

use std::collections::BTreeMap;

use diesel::{
    dsl::{DuplicatedKeys, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{
    Mysql, keys,
    pool::Connection,
    rows::{ApplicationRow, ChatRow, MessageRow, signed},
    schema::{applications, chats, messages, outbox, state},
};
use crate::{
    domain::{Application, Change, Chat, ChatKey, Entity, Message, MessageKey},
    failpoints,
    stores::{Error, Lease, Result, call::call},
};

/// Failure of a store transaction.
enum Failure {
    Database(diesel::result::Error),
    NewerEpoch,
}

type Stored = std::result::Result<(), Failure>;

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

/// "Apply if newer". A later assignment of the same upsert sees what an earlier one wrote, so `revision` comes last.
fn newer<T>(column: &str) -> SqlLiteral<T>
where
    T: diesel::sql_types::SqlType + diesel::sql_types::SingleValue,
{
    sql(&format!(
        "IF(VALUES(revision) > revision, VALUES({column}), {column})"
    ))
}

/// Expression that keeps the earlier creation time.
fn earlier() -> SqlLiteral<Timestamp> {
    sql("LEAST(created_at, VALUES(created_at))")
}

/// Locks the epoch until the transaction ends, and checks that it is the batch's. A batch that was claimed under an
/// older epoch must not commit after a counter was raised to the stored numbers.
async fn hold_epoch(connection: &mut Connection, epoch: u64) -> Stored {
    let current: i64 = state::table
        .select(state::epoch)
        .for_share()
        .first(connection)
        .await?;
    if current == signed(epoch) {
        Ok(())
    } else {
        Err(Failure::NewerEpoch)
    }
}

/// A number that no other store transaction has: rows that carry it were inserted by this one.
fn new_batch() -> i64 {
    rand::random()
}

impl Mysql {
    pub(crate) async fn store(&self, lease: &Lease, changes: Vec<Change>) -> Result<()> {
        // A lease without an epoch is none of this queue's.
        let epoch = lease.epoch.unwrap_or_default();
        let changes = changes.into_iter();
        match lease.kind.entity() {
            Entity::Application => {
                let new: Vec<_> = changes.filter_map(Change::into_application).collect();
                let store = self.insert_applications(epoch, &new);
                call!("records", "store_applications").timed(store).await
            }
            Entity::Chat => {
                let new: Vec<_> = changes.filter_map(Change::into_chat).collect();
                let store = self.insert_chats(epoch, &new);
                call!("records", "store_chats").timed(store).await
            }
            Entity::Message => {
                let new = changes.filter_map(Change::into_message);
                let store = self.upsert_messages(epoch, new);
                call!("records", "store_messages").timed(store).await
            }
        }
    }

    pub(super) async fn insert_applications(&self, epoch: u64, new: &[Application]) -> Result<()> {
        let mut rows: Vec<&Application> = new.iter().collect();
        rows.sort_by_key(|application| application.id);
        let rows: Vec<ApplicationRow> = rows.into_iter().map(ApplicationRow::from).collect();
        let guard = self.pool.transaction();
        let mut connection = self.pool.get().await?;
        let transaction = connection.transaction(async |connection: &mut Connection| {
            hold_epoch(connection, epoch).await?;
            diesel::insert_into(applications::table)
                .values(&rows)
                .on_conflict(DuplicatedKeys)
                .do_update()
                .set((
                    applications::username.eq(newer::<Text>("username")),
                    applications::created_at.eq(earlier()),
                    applications::revision.eq(newer::<BigInt>("revision")),
                ))
                .execute(connection)
                .await?;
            failpoints::hit("before_commit");
            Stored::Ok(())
        });
        guard.finish(self.run_transaction(transaction).await)
    }

    pub(super) async fn insert_chats(&self, epoch: u64, new: &[Chat]) -> Result<()> {
        let batch = new_batch();
        let mut new: Vec<&Chat> = new.iter().collect();
        new.sort_by_key(|chat| chat.key);
        let rows: Vec<ChatRow> = new.iter().map(|chat| ChatRow::new(chat, batch)).collect();
        let touched: Vec<ChatKey> = new.iter().map(|chat| chat.key).collect();
        let guard = self.pool.transaction();
        let mut connection = self.pool.get().await?;
        let transaction = connection.transaction(async |connection: &mut Connection| {
            hold_epoch(connection, epoch).await?;
            diesel::insert_into(chats::table)
                .values(&rows)
                .on_conflict(DuplicatedKeys)
                .do_update()
                .set((
                    chats::created_at.eq(earlier()),
                    chats::revision.eq(newer::<BigInt>("revision")),
                ))
                .execute(connection)
                .await?;
            sql_query(format!(
                "INSERT INTO chats_count_deltas (app, delta) \
                 SELECT app, COUNT(*) FROM chats WHERE {} AND batch = {batch} GROUP BY app",
                keys::chats(&touched)
            ))
            .execute(connection)
            .await?;
            failpoints::hit("before_commit");
            Stored::Ok(())
        });
        guard.finish(self.run_transaction(transaction).await)
    }

    async fn upsert_messages(&self, epoch: u64, new: impl Iterator<Item = Message>) -> Result<()> {
        let batch = new_batch();
        let new = newest_of_each(new);
        let rows: Vec<MessageRow> = new
            .values()
            .map(|message| MessageRow::new(message, batch))
            .collect();
        let touched: Vec<_> = new.into_keys().collect();
        let guard = self.pool.transaction();
        let mut connection = self.pool.get().await?;
        let transaction = connection.transaction(async |connection: &mut Connection| {
            hold_epoch(connection, epoch).await?;
            diesel::insert_into(messages::table)
                .values(&rows)
                .on_conflict(DuplicatedKeys)
                .do_update()
                .set((
                    messages::text.eq(newer::<Text>("text")),
                    messages::created_at.eq(earlier()),
                    messages::updated_at.eq(newer::<Nullable<Timestamp>>("updated_at")),
                    messages::revision.eq(newer::<BigInt>("revision")),
                ))
                .execute(connection)
                .await?;
            sql_query(format!(
                "INSERT INTO messages_count_deltas (app, chat, delta) \
                 SELECT app, chat, COUNT(*) FROM messages WHERE {} AND batch = {batch} GROUP BY app, chat",
                keys::messages(&touched)
            ))
            .execute(connection)
            .await?;
            diesel::insert_into(outbox::table)
                .values((
                    outbox::size.eq(signed(touched.len() as u64)),
                    outbox::message_keys.eq(keys::write(&touched)),
                ))
                .execute(connection)
                .await?;
            failpoints::hit("before_commit");
            Stored::Ok(())
        });
        guard.finish(self.run_transaction(transaction).await)
    }

    /// Runs a store transaction within the time limit.
    async fn run_transaction(&self, transaction: impl Future<Output = Stored>) -> Result<()> {
        let transaction = async {
            match transaction.await {
                Ok(()) => {
                    failpoints::hit("after_commit");
                    Ok(true)
                }
                Err(Failure::NewerEpoch) => Ok(false),
                Err(Failure::Database(error)) => Err(error),
            }
        };
        match self.pool.in_time(transaction).await? {
            true => Ok(()),
            false => Err(Error::Fenced(
                "the queue has begun a new epoch since it was claimed".into(),
            )),
        }
    }
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
