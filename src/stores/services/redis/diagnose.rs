//! Diagnosis of Redis.

use deadpool_redis::redis::{self, cmd};

use super::{Redis, SETTINGS, connection::ConnectionClass, server::ServerInfo};
use crate::stores::{Check, Result, call::call, check, services::tls};

impl Redis {
    /// Examines the server and its settings. That it is unreachable is a finding.
    pub async fn diagnose(&self) -> Vec<Check> {
        let checks = call!("queue", "examine").timed(self.checks()).await;
        checks.unwrap_or_else(|error| {
            let otherwise = "check that Redis and MySQL are running, and that services.redis_url has the right address";
            let advice = tls::advice(&error, SETTINGS, otherwise);
            vec![Check::problem("redis", error.to_string(), advice)]
        })
    }

    async fn checks(&self) -> Result<Vec<Check>> {
        let server = self.server().await?;
        let before = check::now();
        let mut query_pipe = redis::pipe();
        query_pipe.cmd("TIME");
        let ((seconds, micros),): ((i64, i64),) =
            self.connections.pipeline(&mut query_pipe).await?;
        let server_time = seconds * 1000 + micros / 1000;
        let clock = Check::clock("redis clock", before, server_time, check::now());
        Ok(vec![
            version(server.field("redis_version")),
            persistence(&server, self.fsync().await?.as_deref()),
            eviction(&server),
            clock,
            Check::or_problem(
                "redis epoch",
                self.epochs().await,
                "see the checks of MySQL",
            ),
        ])
    }

    /// Returns `appendfsync`; `None` if the server does not allow to read its settings.
    async fn fsync(&self) -> Result<Option<String>> {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("appendfsync");
        let response = self
            .connections
            .query::<Vec<String>>(ConnectionClass::Shared, &get)
            .await?;
        Ok(response.ok().and_then(|mut setting| setting.pop()))
    }

    async fn epochs(&self) -> Result<Check> {
        let name = "redis epoch";
        let (state, stored) = (self.state().await?, self.mysql.epoch().await?);
        let current = state.epoch;
        let found = |current: u64| format!("{current}, and {stored} in the database");
        Ok(match current {
            Some(current) if current == stored => Check::ok(name, current.to_string()),
            Some(current) if current > stored => Check::warning(
                name,
                found(current),
                "the database was restored from a backup: a running confab begins a new epoch and rebuilds the search index",
            ),
            None if stored == 0 => Check::ok(name, "none yet: nothing has been written"),
            current => Check::warning(
                name,
                found(current.unwrap_or(0)),
                "Redis was emptied or restored, and writes that were not stored are lost: the next write begins a new epoch, in which numbers continue from the stored ones",
            ),
        })
    }
}

fn version(version: &str) -> Check {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= 7) {
        Check::ok("redis", format!("version {version}"))
    } else {
        Check::problem(
            "redis",
            format!("version {version}"),
            "use Redis 7 or later, for the flags of scripts",
        )
    }
}

/// Checks the persistence settings against Redis' documentation ("Redis persistence").
fn persistence(server: &ServerInfo, fsync: Option<&str>) -> Check {
    let name = "redis persistence";
    if !server.has_aof() {
        return Check::problem(
            name,
            "appendonly no",
            "set appendonly yes and appendfsync always: without it a restart of Redis loses all writes that are not stored yet, or those since the last snapshot",
        );
    }
    if server.field("aof_last_write_status") != "ok" {
        return Check::problem(
            name,
            format!(
                "the last write to the append-only file: {:?}",
                server.field("aof_last_write_status")
            ),
            "check Redis' log and disk: it accepts no writes until this is fixed",
        );
    }
    let found = format!("appendonly yes, appendfsync {}", fsync.unwrap_or("unknown"));
    match fsync {
        Some("always") => Check::ok(name, found),
        Some("everysec") => Check::warning(
            name,
            found,
            "a crash of the machine may lose the accepted writes of the last second: set appendfsync always to prevent this",
        ),
        Some("no") => Check::problem(
            name,
            found,
            "a crash of the machine may lose the accepted writes of about 30 seconds: set appendfsync always",
        ),
        _ => Check::warning(
            name,
            found,
            "this server does not allow to read its settings: make sure that appendfsync is always",
        ),
    }
}

fn eviction(server: &ServerInfo) -> Check {
    let name = "redis maxmemory-policy";
    match server.evicts() {
        None => Check::ok(name, "noeviction"),
        Some(policy) => Check::problem(
            name,
            policy,
            "set maxmemory-policy noeviction: evicted keys are lost jobs and repeated numbers",
        ),
    }
}
