//! Server information of Redis, and the checks of its durability.

use std::{collections::HashMap, fmt};

use deadpool_redis::redis::cmd;

use super::{Redis, connection::ConnectionClass, failed};
use crate::stores::Result;

/// Identifies a server from the moment when it became a master to its end or demotion: its replication ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterId(String);

impl MasterId {
    /// The ID as text of hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to `INFO`, which is allowed where `CONFIG` is not.
pub(super) struct ServerInfo(HashMap<String, String>);

impl ServerInfo {
    fn read(response: &str) -> Self {
        let fields = response.lines().filter_map(|line| line.split_once(':'));
        Self(
            fields
                .map(|(name, value)| (name.into(), value.trim_end().into()))
                .collect(),
        )
    }

    /// Returns a field of `INFO`; empty if the server omits it.
    pub fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns the ID of the server; `None` if it is a replica. A server without replication has an empty ID.
    pub fn master(&self) -> Option<MasterId> {
        let id = self.field("master_replid").chars();
        let id = id.take_while(char::is_ascii_hexdigit).collect();
        (self.field("role") == "master").then_some(MasterId(id))
    }

    /// Returns the eviction policy, unless it is `noeviction`. Eviction would lose jobs.
    pub fn evicts(&self) -> Option<&str> {
        Some(self.field("maxmemory_policy")).filter(|policy| *policy != "noeviction")
    }

    /// Tells whether the append-only file is enabled.
    pub fn has_aof(&self) -> bool {
        self.field("aof_enabled") == "1"
    }

    /// Why it is not to be trusted with jobs.
    pub fn rejection(&self) -> Option<String> {
        if let Some(policy) = self.evicts() {
            return Some(format!(
                "its maxmemory-policy is {policy:?}, and evicted keys are lost jobs: set it to noeviction"
            ));
        }
        (!self.has_aof()).then(|| {
            "it has no append-only file, so a restart loses jobs: set appendonly to yes".to_owned()
        })
    }
}

impl Redis {
    /// Reads the server information.
    pub(super) async fn server(&self) -> Result<ServerInfo> {
        let mut info = cmd("INFO");
        info.arg(&["server", "memory", "persistence", "replication"]);
        match self
            .connections
            .query::<String>(ConnectionClass::Shared, &info)
            .await?
        {
            Ok(response) => Ok(ServerInfo::read(&response)),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) async fn check_server(&self) -> Result<()> {
        self.server()
            .await?
            .rejection()
            .map_or(Ok(()), |why| Err(failed(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_may_lose_jobs_is_refused() {
        let rejection = |info: &str| ServerInfo::read(info).rejection().unwrap_or_default();
        let keeps =
            "# Memory\r\nmaxmemory_policy:noeviction\r\n\r\n# Persistence\r\naof_enabled:1\r\n";
        assert_eq!(rejection(keeps), "");
        assert!(rejection(&keeps.replace("noeviction", "allkeys-lru")).contains("allkeys-lru"));
        assert!(rejection(&keeps.replace("aof_enabled:1", "aof_enabled:0")).contains("appendonly"));
    }
}
