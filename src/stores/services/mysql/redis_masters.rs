//! The Redis server that each process uses as master, as it last reported.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{Mysql, pool::Connection, rows::unsigned};
use crate::stores::{
    Result,
    call::{Call, call},
};

/// Time after which a report is deleted.
const KEPT: Duration = Duration::from_secs(3600);

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Mysql {
    /// Reports that a process uses this server.
    pub async fn report_redis_master(&self, process: u128, server: &str) -> Result<()> {
        let name = name(process);
        let report = async |connection: &mut Connection| {
            let upsert = sql_query(
                "INSERT INTO redis_masters (process, server, seen_at) VALUES (?, ?, UTC_TIMESTAMP(6)) \
                 ON DUPLICATE KEY UPDATE server = VALUES(server), seen_at = VALUES(seen_at)",
            )
            .bind::<Text, _>(&name)
            .bind::<Text, _>(server);
            upsert.execute(connection).await
        };
        let reported = call!("records", "report_redis_master")
            .timed(self.pool.write(report))
            .await?;
        // One row is affected if it is new: so old rows are deleted once for each process.
        if reported == 1 {
            self.delete_old_reports().await?;
        }
        Ok(())
    }

    async fn delete_old_reports(&self) -> Result<()> {
        let query = format!("DELETE FROM redis_masters WHERE seen_at < {}", before(KEPT));
        let delete =
            async |connection: &mut Connection| sql_query(&query).execute(connection).await;
        self.pool.write(delete).await.map(drop)
    }

    /// Counts the servers that processes have reported within a time.
    pub async fn count_redis_masters(&self, within: Duration) -> Result<u64> {
        let query = format!(
            "SELECT COUNT(DISTINCT server) AS count FROM redis_masters WHERE seen_at > {}",
            before(within)
        );
        self.count(call!("records", "redis_masters"), query).await
    }

    /// Counts the other processes that have reported another server within a time.
    pub async fn count_processes_on_other_masters(
        &self,
        process: u128,
        server: &str,
        within: Duration,
    ) -> Result<u64> {
        let query = format!(
            "SELECT COUNT(*) AS count FROM redis_masters \
             WHERE process <> '{}' AND server <> '{server}' AND seen_at > {}",
            name(process),
            before(within)
        );
        self.count(call!("records", "other_redis_masters"), query)
            .await
    }

    async fn count(&self, call: &Call, query: String) -> Result<u64> {
        let read = async |connection: &mut Connection| {
            let count: Count = sql_query(&query).get_result(connection).await?;
            Ok(unsigned(count.count))
        };
        self.pool.read(call, read).await
    }
}

fn name(process: u128) -> String {
    format!("{process:032x}")
}

/// SQL of the time this long ago.
fn before(time: Duration) -> String {
    format!("UTC_TIMESTAMP(6) - INTERVAL {} SECOND", time.as_secs())
}
