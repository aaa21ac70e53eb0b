//! Adding up what store transactions inserted and deleted.
//!
//! A count changes by deltas only, so that a correction needs no lock on writers: it is a delta too.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{Mysql, pool::Connection};
use crate::stores::{Error, Result, call::Call};

/// One of the two stored counts: table of its deltas, and table of their owners.
pub struct Count {
    pub(super) deltas: &'static str,
    owners: &'static str,
    column: &'static str,
    /// Condition that joins a delta `d` with its owner `o`.
    on: &'static str,
    /// Columns that identify a delta's owner.
    pub(super) by: &'static str,
    /// The same columns of the owner.
    key: &'static str,
    /// Number of a delta's owner.
    number: &'static str,
    apply: Call,
    pub(super) check: Call,
}

/// Chats of applications.
pub static CHATS: Count = Count {
    deltas: "chats_count_deltas",
    owners: "applications",
    column: "chats_count",
    on: "o.id = d.app",
    by: "app",
    key: "id",
    number: "0",
    apply: Call::new("records", "apply_chats_counts"),
    check: Call::new("records", "check_chats_counts"),
};

/// Messages of chats.
pub static MESSAGES: Count = Count {
    deltas: "messages_count_deltas",
    owners: "chats",
    column: "messages_count",
    on: "o.app = d.app AND o.number = d.chat",
    by: "app, chat",
    key: "app, number",
    number: "d.chat",
    apply: Call::new("records", "apply_messages_counts"),
    check: Call::new("records", "check_messages_counts"),
};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct Delta {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Count {
    /// Owner of a delta or count, in SQL.
    pub(super) fn owner(&self, app: &str, number: i64) -> String {
        match self.by {
            "app" => format!("'{app}'"),
            _ => format!("'{app}',{number}"),
        }
    }
}

impl Mysql {
    /// Applies up to `limit` deltas to the counts of their owners and returns their number. A delta waits until its
    /// owner is stored.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if MySQL refuses some of them. The others were applied, and the refused ones are tried again
    /// after all that wait.
    pub async fn apply_counts(&self, count: &Count, limit: usize) -> Result<usize> {
        let batch = format!("ORDER BY d.id LIMIT {limit}");
        match count.apply.timed(self.apply(count, &batch)).await {
            Err(Error::Rejected { .. }) => self.apply_one_by_one(count, limit).await,
            outcome => outcome,
        }
    }

    async fn apply_one_by_one(&self, count: &Count, limit: usize) -> Result<usize> {
        let Count {
            deltas, owners, on, ..
        } = count;
        let waiting = async |connection: &mut Connection| -> QueryResult<Vec<Id>> {
            let ids = diesel::sql_query(format!(
                "SELECT d.id FROM {deltas} d JOIN {owners} o ON {on} ORDER BY d.id LIMIT {limit}"
            ));
            ids.load(connection).await
        };
        let (mut applied, mut refused) = (0, None);
        for Id { id } in self.pool.read(&count.apply, waiting).await? {
            match self.apply(count, &format!("AND d.id = {id}")).await {
                Ok(one) => applied += one,
                Err(error @ Error::Rejected { .. }) => {
                    self.defer(count, id).await?;
                    refused = Some(error);
                }
                Err(outage) => return Err(outage),
            }
        }
        refused.map_or(Ok(applied), Err)
    }

    /// Moves a delta behind all others.
    async fn defer(&self, count: &Count, id: i64) -> Result<()> {
        let Count { deltas, by, .. } = count;
        let defer = async |connection: &mut Connection| {
            // Locked first: another process that does the same then finds nothing to move.
            for statement in [
                format!("SELECT id FROM {deltas} WHERE id = {id} FOR UPDATE"),
                format!(
                    "INSERT INTO {deltas} ({by}, delta) SELECT {by}, delta FROM {deltas} WHERE id = {id}"
                ),
                format!("DELETE FROM {deltas} WHERE id = {id}"),
            ] {
                diesel::sql_query(statement).execute(connection).await?;
            }
            Ok(())
        };
        self.pool.transaction(defer).await
    }

    /// Applies the deltas that `selection`, the end of a query, chooses.
    async fn apply(&self, count: &Count, selection: &str) -> Result<usize> {
        let Count {
            deltas,
            owners,
            column,
            on,
            by,
            key,
            number,
            ..
        } = count;
        let apply = async |connection: &mut Connection| {
            let rows: Vec<Delta> = diesel::sql_query(format!(
                "SELECT d.id, d.app, {number} AS number FROM {deltas} d JOIN {owners} o ON {on} {selection} \
                 FOR UPDATE OF d SKIP LOCKED"
            ))
            .load(connection)
            .await?;
            if rows.is_empty() {
                return Ok(0);
            }
            let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
            let list = ids.join(",");
            // In one order: otherwise two of these would wait for each other in a circle. Only the rows: store transactions
            // lock entries of another index.
            let locked: Vec<String> = rows
                .iter()
                .map(|row| format!("({})", count.owner(&row.app, row.number)))
                .collect();
            diesel::sql_query(format!(
                "SELECT 1 FROM {owners} FORCE INDEX (PRIMARY) WHERE ({key}) IN ({}) ORDER BY {key} FOR UPDATE",
                locked.join(",")
            ))
            .execute(connection)
            .await?;
            diesel::sql_query(format!(
                "UPDATE {owners} o JOIN (SELECT {by}, SUM(delta) AS delta FROM {deltas} WHERE id IN ({list}) \
                 GROUP BY {by}) d ON {on} SET o.{column} = COALESCE(o.{column}, 0) + d.delta"
            ))
            .execute(connection)
            .await?;
            diesel::sql_query(format!("DELETE FROM {deltas} WHERE id IN ({list})"))
                .execute(connection)
                .await?;
            Ok(ids.len())
        };
        self.pool.transaction(apply).await
    }
}
