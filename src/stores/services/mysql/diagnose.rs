//! Diagnosis of MySQL.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{Mysql, connect, migrate, pool::Connection};
use crate::stores::{Check, Result, call::call, check, services::tls};

/// Size of a statement that stores a batch, without the texts, in bytes.
const OVERHEAD: i64 = 1 << 20;

const DURABILITY_ADVICE: &str = "set innodb_flush_log_at_trx_commit = 1, innodb_doublewrite = ON and, with a binary log, sync_binlog = 1: \
                                 otherwise a crash of the machine may lose writes that the queue no longer holds";

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = BigInt)]
    flush: i64,
    #[diesel(sql_type = BigInt)]
    sync_binlog: i64,
    #[diesel(sql_type = BigInt)]
    log_bin: i64,
    #[diesel(sql_type = Text)]
    doublewrite: String,
    #[diesel(sql_type = BigInt)]
    packet: i64,
    #[diesel(sql_type = Nullable<Text>)]
    charset: Option<String>,
    #[diesel(sql_type = BigInt)]
    now: i64,
}

const SERVER: &str = "SELECT VERSION() AS version, CAST(@@innodb_flush_log_at_trx_commit AS SIGNED) AS flush, \
                      CAST(@@sync_binlog AS SIGNED) AS sync_binlog, CAST(@@log_bin AS SIGNED) AS log_bin, \
                      CAST(@@innodb_doublewrite AS CHAR) AS doublewrite, \
                      CAST(@@global.max_allowed_packet AS SIGNED) AS packet, \
                      (SELECT default_character_set_name FROM information_schema.schemata \
                      WHERE schema_name = DATABASE()) AS charset, \
                      CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AS now";

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

impl Mysql {
    /// Examines the server and its settings. That it is unreachable is a finding.
    pub async fn diagnose(&self, batch_bytes: usize) -> Vec<Check> {
        let checks = self.checks(batch_bytes).await;
        checks.unwrap_or_else(|error| {
            let otherwise = "check that MySQL is running, and that services.mysql_url has its address, a valid user and an existing database";
            let advice = tls::advice(&error, connect::SETTINGS, otherwise);
            vec![Check::problem("mysql", error.to_string(), advice)]
        })
    }

    async fn checks(&self, batch_bytes: usize) -> Result<Vec<Check>> {
        let examine = async |connection: &mut Connection| {
            let before = check::now();
            let server: Server = sql_query(SERVER).get_result(connection).await?;
            let clock = Check::clock("mysql clock", before, server.now, check::now());
            Ok((server, clock, migrations(connection).await?))
        };
        let examined = self.pool.read(call!("records", "examine"), examine);
        let (server, clock, applied) = examined.await?;
        Ok(vec![
            version(&server.version),
            Check::schema("mysql schema", &migrate::known()?, &applied),
            durability(&server),
            charset(server.charset.as_deref().unwrap_or("none")),
            packet(server.packet, batch_bytes),
            clock,
        ])
    }
}

/// Returns the migrations that ran; none in an empty database.
async fn migrations(connection: &mut Connection) -> QueryResult<Vec<String>> {
    let tables: Vec<Version> = sql_query(
        "SELECT table_name AS version FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = '__diesel_schema_migrations'",
    )
    .load(connection)
    .await?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let query = sql_query("SELECT version FROM __diesel_schema_migrations");
    let applied: Vec<Version> = query.load(connection).await?;
    Ok(applied.into_iter().map(|row| row.version).collect())
}

fn version(version: &str) -> Check {
    let name = "mysql";
    let major: Option<u32> = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if version.contains("MariaDB") {
        Check::problem(
            name,
            format!("version {version}"),
            "use MySQL 8.0 or later: MariaDB lacks features that Confab uses",
        )
    } else if major.is_some_and(|major| major >= 8) {
        Check::ok(name, format!("version {version}"))
    } else {
        Check::problem(
            name,
            format!("version {version}"),
            "use MySQL 8.0 or later, for SKIP LOCKED",
        )
    }
}

fn durability(server: &Server) -> Check {
    let name = "mysql durability";
    let binlog = if server.log_bin == 0 {
        "no binary log".to_owned()
    } else {
        format!("sync_binlog {}", server.sync_binlog)
    };
    let found = format!(
        "innodb_flush_log_at_trx_commit {}, {binlog}, innodb_doublewrite {}",
        server.flush, server.doublewrite
    );
    let doublewrite = matches!(
        server.doublewrite.as_str(),
        "1" | "ON" | "DETECT_AND_RECOVER"
    );
    let binlog = server.log_bin == 0 || server.sync_binlog == 1;
    if server.flush == 1 && binlog && doublewrite {
        Check::ok(name, found)
    } else {
        Check::warning(name, found, DURABILITY_ADVICE)
    }
}

fn charset(found: &str) -> Check {
    let name = "mysql character set";
    if found == "utf8mb4" {
        Check::ok(name, found)
    } else {
        // The tables name their own, so nothing is lost today.
        Check::warning(
            name,
            found,
            "ALTER DATABASE … CHARACTER SET utf8mb4, so that future tables use it",
        )
    }
}

fn packet(bytes: i64, batch_bytes: usize) -> Check {
    let name = "mysql max_allowed_packet";
    let needed = i64::try_from(batch_bytes).map_or(i64::MAX, |bytes| bytes + OVERHEAD);
    let found = format!("{bytes} bytes, and a batch takes up to {needed}");
    if bytes >= needed {
        Check::ok(name, found)
    } else {
        Check::warning(
            name,
            found,
            "raise max_allowed_packet, or lower workers.batch_bytes: a batch that does not fit is split and stored in parts",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Severity;

    #[test]
    fn settings_that_lose_or_refuse_are_told() {
        let server = |flush, sync_binlog, log_bin, doublewrite: &str| Server {
            version: "9.7.0".into(),
            flush,
            sync_binlog,
            log_bin,
            doublewrite: doublewrite.into(),
            packet: 0,
            charset: None,
            now: 0,
        };
        let durable = |server: Server| durability(&server).severity == Severity::Ok;
        assert!(durable(server(1, 1, 1, "ON")));
        assert!(durable(server(1, 0, 0, "1")));
        assert!(!durable(server(2, 1, 1, "ON")));
        assert!(!durable(server(1, 0, 1, "ON")));
        assert!(!durable(server(1, 1, 1, "OFF")));
        assert_eq!(version("8.0.36").severity, Severity::Ok);
        assert_eq!(version("5.7.44-log").severity, Severity::Problem);
        assert_eq!(version("11.4.2-MariaDB").severity, Severity::Problem);
        assert_eq!(charset("latin1").severity, Severity::Warning);
        assert_eq!(packet(64 << 20, 8 << 20).severity, Severity::Ok);
        assert_eq!(packet(4 << 20, 8 << 20).severity, Severity::Warning);
    }
}
