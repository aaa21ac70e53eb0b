//! Storing batches: one idempotent upsert each, with what follows from it, in one transaction.

use std::collections::{BTreeMap, btree_map::Entry};

use diesel::{
    dsl::{DuplicatedKeys, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_types::{BigInt, Nullable, Text, Timestamp},
};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{
    MysqlRecords, keys,
    pool::Connection,
    rows::{ApplicationRow, ChatRow, MessageRow, signed},
    schema::{
        applications, chats, chats_count_deltas, messages, messages_count_deltas, outbox, state,
    },
};
use crate::{
    domain::{Application, Chat, ChatKey, Message, MessageKey},
    failpoints,
    stores::{Error, Result},
};

/// What ends a store transaction.
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

/// Of times of creation the earlier one holds.
fn earlier() -> SqlLiteral<Timestamp> {
    sql("LEAST(created_at, VALUES(created_at))")
}

/// Keeps the epoch from being raised until this transaction is through, and makes sure that it is the batch's: what
/// was claimed under an older one must not commit behind a counter that has been raised to what was stored.
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

impl MysqlRecords {
    pub(super) async fn insert_applications(&self, epoch: u64, new: &[Application]) -> Result<()> {
        let mut rows: Vec<&Application> = new.iter().collect();
        rows.sort_by_key(|application| application.id);
        let rows: Vec<ApplicationRow> = rows.into_iter().map(ApplicationRow::from).collect();
        let unfinished = self.pool.transaction();
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
        unfinished.finish(self.see_through(transaction).await)
    }

    pub(super) async fn insert_chats(&self, epoch: u64, new: &[Chat]) -> Result<()> {
        let batch = new_batch();
        let mut new: Vec<&Chat> = new.iter().collect();
        new.sort_by_key(|chat| chat.key);
        let rows: Vec<ChatRow> = new.iter().map(|chat| ChatRow::new(chat, batch)).collect();
        let touched: Vec<ChatKey> = new.iter().map(|chat| chat.key).collect();
        let unfinished = self.pool.transaction();
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
            let inserted: Vec<InsertedChats> = diesel::sql_query(format!(
                "SELECT app, COUNT(*) AS delta FROM chats WHERE {} AND batch = {batch} GROUP BY app",
                keys::chats(&touched)
            ))
            .load(connection)
            .await?;
            if !inserted.is_empty() {
                diesel::insert_into(chats_count_deltas::table)
                    .values(&inserted)
                    .execute(connection)
                    .await?;
            }
            failpoints::hit("before_commit");
            Stored::Ok(())
        });
        unfinished.finish(self.see_through(transaction).await)
    }

    pub(super) async fn upsert_messages(&self, epoch: u64, new: &[Message]) -> Result<()> {
        let batch = new_batch();
        let new = newest_of_each(new);
        let rows: Vec<MessageRow> = new
            .values()
            .map(|message| MessageRow::new(message, batch))
            .collect();
        let touched: Vec<_> = new.into_keys().collect();
        let unfinished = self.pool.transaction();
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
            let inserted: Vec<InsertedMessages> = diesel::sql_query(format!(
                "SELECT app, chat, COUNT(*) AS delta FROM messages WHERE {} AND batch = {batch} GROUP BY app, chat",
                keys::messages(&touched)
            ))
            .load(connection)
            .await?;
            if !inserted.is_empty() {
                diesel::insert_into(messages_count_deltas::table)
                    .values(&inserted)
                    .execute(connection)
                    .await?;
            }
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
        unfinished.finish(self.see_through(transaction).await)
    }

    /// Sees a store transaction through.
    async fn see_through(&self, transaction: impl Future<Output = Stored>) -> Result<()> {
        let outcome = self
            .pool
            .in_time(async {
                match transaction.await {
                    Ok(()) => {
                        failpoints::hit("after_commit");
                        Ok(true)
                    }
                    Err(Failure::NewerEpoch) => Ok(false),
                    Err(Failure::Database(error)) => Err(error),
                }
            })
            .await?;
        if outcome {
            Ok(())
        } else {
            Err(Error::Fenced(
                "the queue has begun a new epoch since it was claimed".into(),
            ))
        }
    }
}

/// What a batch inserted into one application.
#[derive(QueryableByName, Insertable)]
#[diesel(table_name = chats_count_deltas)]
struct InsertedChats {
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    delta: i64,
}

/// What a batch inserted into one chat.
#[derive(QueryableByName, Insertable)]
#[diesel(table_name = messages_count_deltas)]
struct InsertedMessages {
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = BigInt)]
    delta: i64,
}

/// What several writes of one batch to the same message leave of it, in the order of keys: two batches that lock rows
/// in the same order cannot wait for each other.
fn newest_of_each(messages: &[Message]) -> BTreeMap<MessageKey, Message> {
    let mut newest = BTreeMap::new();
    for message in messages {
        match newest.entry(message.key) {
            Entry::Vacant(entry) => {
                entry.insert(message.clone());
            }
            Entry::Occupied(mut entry) => {
                let merged = message.clone().merge(entry.get().clone());
                entry.insert(merged);
            }
        }
    }
    newest
}
