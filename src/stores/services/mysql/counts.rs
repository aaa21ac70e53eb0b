//! Adding up what store transactions inserted, and recounting.
//!
//! A count changes by deltas only, so that a correction needs no lock on writers: it is a delta too.

use std::time::Duration;

use diesel::{prelude::*, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    errors::unavailable,
    pool::Connection,
    rows::unsigned,
    schema::{applications, chats, messages},
};
use crate::{
    domain::{AppId, ChatKey},
    stores::{
        Error, Result, RowCounts, ScanPage, WrongCount,
        call::{Call, call},
        recount::{self, Recount},
    },
};

/// Time to wait for another process that corrects counts.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Time limit of a recount, which reads every row of the page's owners.
pub(super) const RECOUNT: Duration = Duration::from_secs(300);

/// One of the two stored counts: table of its deltas, and table of their owners.
pub struct Count {
    deltas: &'static str,
    owners: &'static str,
    column: &'static str,
    /// Condition that joins a delta `d` with its owner `o`.
    on: &'static str,
    /// Columns that identify a delta's owner.
    by: &'static str,
    apply: Call,
    check: Call,
}

/// Chats of applications.
pub static CHATS: Count = Count {
    deltas: "chats_count_deltas",
    owners: "applications",
    column: "chats_count",
    on: "o.id = d.app",
    by: "app",
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
    apply: Call::new("records", "apply_messages_counts"),
    check: Call::new("records", "check_messages_counts"),
};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
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
            ..
        } = count;
        let apply = async |connection: &mut Connection| {
            let ids: Vec<Id> = diesel::sql_query(format!(
                "SELECT d.id FROM {deltas} d JOIN {owners} o ON {on} {selection} FOR UPDATE OF d SKIP LOCKED"
            ))
            .load(connection)
            .await?;
            if ids.is_empty() {
                return Ok(0);
            }
            let list: Vec<String> = ids.iter().map(|row| row.id.to_string()).collect();
            let list = list.join(",");
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

    pub(crate) async fn totals(&self) -> Result<RowCounts> {
        let count = async |connection: &mut Connection| {
            let query = diesel::select((
                applications::table.count().single_value(),
                chats::table.count().single_value(),
                messages::table.count().single_value(),
            ));
            query.get_result(connection).await
        };
        let counted = self
            .pool
            .read_within(RECOUNT, call!("records", "totals"), count);
        let (applications, chats, messages): (Option<i64>, Option<i64>, Option<i64>) =
            counted.await?;
        Ok(RowCounts {
            applications: applications.map_or(0, unsigned),
            chats: chats.map_or(0, unsigned),
            messages: messages.map_or(0, unsigned),
        })
    }

    pub(crate) async fn recount_chats(
        &self,
        after: Option<AppId>,
        limit: usize,
        fix: bool,
    ) -> Result<ScanPage<AppId, WrongCount>> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let query = format!(
            "SELECT o.id AS app, 0 AS number, \
             CAST(o.chats_count + COALESCE(w.delta, 0) AS SIGNED) AS kept, \
             (SELECT COUNT(*) FROM chats c WHERE c.app = o.id) AS counted \
             FROM applications o LEFT JOIN \
             (SELECT app, SUM(delta) AS delta FROM chats_count_deltas GROUP BY app) w ON w.app = o.id \
             WHERE o.id > '{after}' ORDER BY o.id LIMIT {limit}"
        );
        let rows = self.recount(&query, fix, &CHATS).await?;
        Ok(recount::applications(&rows, limit))
    }

    pub(crate) async fn recount_messages(
        &self,
        after: Option<ChatKey>,
        limit: usize,
        fix: bool,
    ) -> Result<ScanPage<ChatKey, WrongCount>> {
        let after = after.map_or_else(
            || "TRUE".to_owned(),
            |ChatKey { app, number }| {
                format!("(o.app > '{app}' OR o.app = '{app}' AND o.number > {number})")
            },
        );
        let query = format!(
            "SELECT o.app AS app, o.number AS number, \
             CAST(COALESCE(o.messages_count, 0) + COALESCE(w.delta, 0) AS SIGNED) AS kept, \
             (SELECT COUNT(*) FROM messages m WHERE m.app = o.app AND m.chat = o.number) AS counted \
             FROM chats o LEFT JOIN \
             (SELECT app, chat, SUM(delta) AS delta FROM messages_count_deltas GROUP BY app, chat) w \
             ON w.app = o.app AND w.chat = o.number \
             WHERE {after} ORDER BY o.app, o.number LIMIT {limit}"
        );
        let rows = self.recount(&query, fix, &MESSAGES).await?;
        Ok(recount::chats(&rows, limit))
    }

    /// One statement, so that stored counts, waiting deltas and rows are read from one snapshot.
    async fn recount(&self, query: &str, fix: bool, count: &Count) -> Result<Vec<Recount>> {
        // Two that correct the same count at once would correct it twice.
        let _lock = if fix {
            let lock = self.lock("counts", LOCK_WAIT).await?;
            Some(lock.ok_or_else(|| unavailable(&"another process is correcting counts"))?)
        } else {
            None
        };
        let read =
            async |connection: &mut Connection| diesel::sql_query(query).load(connection).await;
        let rows: Vec<Recount> = self.pool.read_within(RECOUNT, &count.check, read).await?;
        let corrections: Vec<String> = rows
            .iter()
            .filter(|row| row.is_wrong())
            .map(|row| {
                let delta = row.counted - row.kept;
                if count.by == "app" {
                    format!("('{}',{delta})", row.app)
                } else {
                    format!("('{}',{},{delta})", row.app, row.number)
                }
            })
            .collect();
        if fix && !corrections.is_empty() {
            let insert = format!(
                "INSERT INTO {} ({}, delta) VALUES {}",
                count.deltas,
                count.by,
                corrections.join(",")
            );
            let write = async |connection: &mut Connection| {
                diesel::sql_query(&insert).execute(connection).await
            };
            self.pool.write(write).await?;
        }
        Ok(rows)
    }
}
