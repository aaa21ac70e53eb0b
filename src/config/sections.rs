//! The sections of the settings; `config/default.toml` says what each setting does.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    layers::{ConfigError, Layers},
    secret::{Secret, SecretUrl},
};

/// Settings of the HTTP server.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// A name or an address of this machine.
    pub host: String,
    /// 0: any that is free.
    pub port: u16,
    /// A second port with the same routes; 0: none.
    pub creation_port: u16,
    /// Origins whose pages may use the API, as browsers write them: `https://chat.example.com`. Empty: only its own pages.
    #[serde(deserialize_with = "list")]
    pub cors_origins: Vec<String>,
    /// Connections at most, 1–1,000,000, shared out to the threads that serve them.
    pub connections: usize,
    /// For the head of a request, and then for its body.
    #[serde(rename = "client_timeout_ms", deserialize_with = "millis")]
    pub client_timeout: Duration,
    /// How long readiness says 503 before the port closes.
    #[serde(rename = "drain_ms", deserialize_with = "millis")]
    pub drain: Duration,
    /// For all of the end.
    #[serde(rename = "shutdown_timeout_ms", deserialize_with = "millis")]
    pub shutdown_timeout: Duration,
}

/// Settings of the listener for operators.
#[derive(Debug, Clone, Deserialize)]
pub struct Admin {
    /// A name or an address of this machine; one that is no loopback address needs a token.
    pub host: String,
    /// 0: none.
    pub port: u16,
    /// What everybody must bring, at least 16 visible ASCII characters; empty: nothing.
    pub token: Secret,
}

impl Admin {
    /// The least length of a token: one that nobody guesses, if it is random.
    const TOKEN: usize = 16;

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(super) fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        let token = self.token.expose();
        let rule = if self.port == 0 {
            return Ok(());
        } else if token.is_empty() && !self.is_local() {
            "admin.host is no loopback address, so a token is needed, of at least 16 characters"
        } else if token.is_empty() {
            return Ok(());
        } else if token.len() < Self::TOKEN {
            "must be at least 16 characters"
        } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            "must be ASCII without spaces"
        } else {
            return Ok(());
        };
        Err(layers.error("admin.token", rule))
    }
}

/// Whether a name or address, IPv6 with or without its brackets, is this machine for itself.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Settings of the embedded backend.
#[derive(Debug, Clone, Deserialize)]
pub struct EmbeddedSettings {
    /// The file; empty: one in the folder that the service or the user has for data.
    pub path: PathBuf,
    /// For one call to it.
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
}

/// Settings of the services backend.
#[derive(Debug, Clone, Deserialize)]
pub struct ServicesSettings {
    /// `mysql://[user[:password]@]host[:port]/database`; the database must exist.
    pub mysql_url: SecretUrl,
    /// At most, 2–1000.
    pub mysql_connections: usize,
    /// `redis://[user:password@]host[:port][/number]`
    pub redis_url: SecretUrl,
    /// Those of the workers at most, 1–1000; requests share one more.
    pub redis_connections: usize,
    /// What all keys begin with.
    pub redis_prefix: String,
    /// `http(s)://[user:password@]host[:port]`
    pub elasticsearch_url: SecretUrl,
    /// The alias of the search index.
    pub elasticsearch_index: String,
    /// For one call to a store.
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
    /// For one write to Elasticsearch.
    #[serde(rename = "elasticsearch_write_timeout_ms", deserialize_with = "millis")]
    pub elasticsearch_write_timeout: Duration,
}

/// Settings of the workers.
#[derive(Debug, Clone, Deserialize)]
pub struct Workers {
    /// Whether this process runs them.
    pub enabled: bool,
    /// Jobs of one batch at most, 1–5000.
    pub batch: usize,
    /// Bytes of their payloads at most, up to 64 MiB.
    pub batch_bytes: usize,
    /// After which a dead claimer's jobs are taken over; at least a second.
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    /// How often to look for what other processes accepted.
    #[serde(rename = "poll_ms", deserialize_with = "millis")]
    pub poll: Duration,
    /// How long one step may take; at least a second.
    #[serde(rename = "stall_ms", deserialize_with = "millis")]
    pub stall: Duration,
    /// After so many a job that fails by its own fault is a dead letter; 0 is as 1.
    pub tries: u32,
    /// How long it waits before the second at most; twice as long before each further one.
    #[serde(rename = "retry_ms", deserialize_with = "millis")]
    pub retry: Duration,
    /// How long it waits before any of them at most.
    #[serde(rename = "retry_max_ms", deserialize_with = "millis")]
    pub retry_max: Duration,
    /// Rows and documents that the clean job looks at in one step, 1–5000.
    pub reconcile_page: usize,
    /// How long it rests after each.
    #[serde(rename = "reconcile_pause_ms", deserialize_with = "millis")]
    pub reconcile_pause: Duration,
}

/// Bounds on what is kept, and on what a client may ask.
#[derive(Debug, Clone, Deserialize)]
pub struct Limits {
    /// Accepted writes that are not stored yet, 1–1,000,000,000.
    pub queue_depth: usize,
    /// Dead letters, 1–1,000,000.
    pub dead_letters: usize,
    /// Of one client; 0: no limit.
    pub requests_per_second: u32,
    /// How many of them may come at once, 1–1,000,000.
    pub burst: u32,
    /// How many proxies stand before the server, 0–10: so many entries of `X-Forwarded-For` are believed.
    pub proxies: usize,
}

/// Settings of the log.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged until a signal changes it.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// An object a line, for machines.
    Json,
    /// For people.
    Text,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What somebody must see to.
    Error,
    /// And what went wrong, and is tried again or turned away.
    Warn,
    /// And a line a request, the start and the end.
    Info,
    /// And a line a batch.
    Debug,
    /// And all else.
    Trace,
}

impl LogLevel {
    /// As it is written in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A list, or its members with commas between them, as the environment has no lists.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Members {
        Many(Vec<String>),
        Text(String),
    }
    Ok(match Members::deserialize(deserializer)? {
        Members::Many(members) => members,
        Members::Text(text) => {
            let members = text.split(',').map(str::trim);
            let members = members.filter(|member| !member.is_empty());
            members.map(str::to_owned).collect()
        }
    })
}

fn millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_for_itself_is_loopback() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "localhost.example",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
