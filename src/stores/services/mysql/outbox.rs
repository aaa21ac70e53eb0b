//! The outbox: changes that the search index does not hold yet.

use std::{ops::RangeInclusive, time::Duration};

use diesel::{
    dsl,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql, keys,
    pool::Connection,
    rows::{signed, unsigned},
    schema::outbox,
};
use crate::{
    domain::MessageKey,
    stores::{
        Result,
        call::call,
        services::{IndexLag, Outbox},
    },
};

/// Maximum number of keys in one row that requeues messages.
const REQUEUE_KEYS: usize = 1000;

/// Maximum number of outbox rows that one read returns, regardless of how few messages each touched.
const ROWS: i64 = 1000;

impl Mysql {
    /// The oldest changes that the index does not hold yet, beyond the ID `after` if given, with the documents as they are
    /// now; empty when none wait. They touched about `limit` messages. Changes may come to lie below one that has been
    /// read: only without `after` are all of them seen.
    pub async fn outbox(&self, after: Option<u64>, limit: usize) -> Result<Outbox> {
        let read = async |connection: &mut Connection| {
            let waiting: Vec<(i64, i64)> = outbox::table
                .filter(outbox::id.gt(after.map_or(0, signed)))
                .select((outbox::id, outbox::size))
                .order(outbox::id)
                .limit(ROWS)
                .load(connection)
                .await?;
            let ids = first_ids(waiting, limit);
            let texts: Vec<String> = match ids.is_empty() {
                true => Vec::new(),
                false => {
                    let changes = outbox::table.filter(outbox::id.eq_any(&ids));
                    changes
                        .select(outbox::message_keys)
                        .load(connection)
                        .await?
                }
            };
            Ok((ids, texts))
        };
        let changes = self.pool.read(call!("records", "outbox"), read);
        let (ids, texts) = changes.await?;
        if ids.is_empty() {
            return Ok(Outbox::default());
        }
        // After the changes, never before: a rebuild sets its target and then reads all messages stored until then.
        // Everything that is stored later must see the target.
        let build_target = self.build_target().await?;
        let mut touched: Vec<MessageKey> = texts.iter().flat_map(|text| keys::read(text)).collect();
        touched.sort_unstable();
        touched.dedup();
        Ok(Outbox {
            ids: ids.into_iter().map(unsigned).collect(),
            messages: self.rows_by_key(&touched).await?,
            build_target,
        })
    }

    /// Removes exactly these changes: the index holds them.
    pub async fn clear_outbox(&self, ids: &[u64]) -> Result<()> {
        let ids: Vec<i64> = ids.iter().copied().map(signed).collect();
        let write = async |connection: &mut Connection| {
            let delete = diesel::delete(outbox::table.filter(outbox::id.eq_any(&ids)));
            delete.execute(connection).await
        };
        let write = self.pool.write(write);
        call!("records", "clear_outbox")
            .timed(write)
            .await
            .map(drop)
    }

    /// Queues messages to be indexed again.
    pub async fn requeue_for_index(&self, keys: &[MessageKey]) -> Result<()> {
        let write = async |connection: &mut Connection| {
            for keys in keys.chunks(REQUEUE_KEYS) {
                insert_outbox(connection, keys).await?;
            }
            Ok(())
        };
        let write = self.pool.write(write);
        call!("records", "requeue_for_index").timed(write).await
    }

    /// Returns the search index lag. Reads all waiting changes.
    pub async fn index_lag(&self) -> Result<IndexLag> {
        #[derive(QueryableByName)]
        struct Lag {
            #[diesel(sql_type = BigInt)]
            messages: i64,
            #[diesel(sql_type = Nullable<BigInt>)]
            oldest: Option<i64>,
        }
        let read = async |connection: &mut Connection| {
            let query = sql_query(
                "SELECT CAST(COALESCE(SUM(size), 0) AS SIGNED) AS messages, \
                 TIMESTAMPDIFF(MICROSECOND, MIN(created_at), NOW(6)) AS oldest FROM outbox",
            );
            query.get_result::<Lag>(connection).await
        };
        let lag = self.pool.read(call!("records", "index_lag"), read).await?;
        Ok(IndexLag {
            messages: unsigned(lag.messages),
            // The age would be negative if the clock was set back.
            oldest: Duration::from_micros(unsigned(lag.oldest.unwrap_or(0).max(0))),
        })
    }

    /// The IDs of the waiting changes, from the lowest to the highest; `None` when the index holds everything.
    pub async fn outbox_range(&self) -> Result<Option<RangeInclusive<u64>>> {
        let read = async |connection: &mut Connection| {
            let bounds = outbox::table.select((dsl::min(outbox::id), dsl::max(outbox::id)));
            bounds.first(connection).await
        };
        let bounds = self.pool.read(call!("records", "outbox_bounds"), read);
        Ok(match bounds.await? {
            (Some(lowest), Some(highest)) => Some(unsigned(lowest)..=unsigned(highest)),
            (_, _) => None,
        })
    }
}

/// Adds a change that touched these messages, as a part of its transaction.
pub(super) async fn insert_outbox(
    connection: &mut Connection,
    touched: &[MessageKey],
) -> QueryResult<()> {
    let row = (
        outbox::size.eq(signed(touched.len() as u64)),
        outbox::message_keys.eq(keys::write(touched)),
    );
    let insert = diesel::insert_into(outbox::table).values(row);
    insert.execute(connection).await.map(drop)
}

/// Returns the IDs of the first changes that touched about `limit` messages, at least one.
fn first_ids(waiting: Vec<(i64, i64)>, limit: usize) -> Vec<i64> {
    let mut capacity = limit;
    waiting
        .into_iter()
        .enumerate()
        .map_while(|(position, (id, size))| {
            let size = usize::try_from(size).unwrap_or(0);
            let fits = position == 0 || size <= capacity;
            capacity = capacity.saturating_sub(size);
            fits.then_some(id)
        })
        .collect()
}
