//! Counting rows, and correcting the counts of applications and chats.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    CHATS, Count, MESSAGES, Mysql,
    errors::unavailable,
    pool::Connection,
    rows::unsigned,
    schema::{applications, chats, messages},
};
use crate::{
    domain::{AppId, ChatKey},
    stores::{
        Result, RowCounts, ScanPage, WrongCount,
        call::call,
        recount::{self, Recount},
    },
};

/// Time to wait for another process that corrects counts.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Time limit of a recount, which reads every row of the page's owners.
pub(super) const RECOUNT: Duration = Duration::from_secs(300);

impl Mysql {
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
             (SELECT COUNT(*) FROM chats c WHERE c.app = o.id AND c.deleted_at IS NULL) AS counted \
             FROM applications o LEFT JOIN \
             (SELECT app, SUM(delta) AS delta FROM chats_count_deltas GROUP BY app) w ON w.app = o.id \
             WHERE o.id > '{after}' AND o.deleted_at IS NULL ORDER BY o.id LIMIT {limit}"
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
             (SELECT COUNT(*) FROM messages m WHERE m.app = o.app AND m.chat = o.number \
             AND m.number > o.deleted_up_to AND m.deleted_at IS NULL) AS counted \
             FROM chats o LEFT JOIN \
             (SELECT app, chat, SUM(delta) AS delta FROM messages_count_deltas GROUP BY app, chat) w \
             ON w.app = o.app AND w.chat = o.number \
             WHERE {after} AND o.deleted_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM applications a WHERE a.id = o.app AND a.deleted_at IS NOT NULL) \
             ORDER BY o.app, o.number LIMIT {limit}"
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
                format!("({},{delta})", count.owner(&row.app, row.number))
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
