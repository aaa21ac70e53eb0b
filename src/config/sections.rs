//! Sections of the settings. `config/default.toml` documents each setting.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    layers::{ConfigError, Layers},
    secret::{Secret, SecretUrl},
};
use crate::listener::host::is_loopback;

/// Settings of the listener for operators.
#[derive(Debug, Clone, Deserialize)]
pub struct Admin {
    /// A name or an address of this machine; one that is no loopback address needs a token.
    pub host: String,
    /// 0: none.
    pub port: u16,
    /// Token that every request must have: at least 16 visible ASCII characters. Empty: none.
    pub token: Secret,
}

impl Admin {
    /// Minimum length of a token, so that a random one cannot be guessed.
    const TOKEN: usize = 16;

    /// Tells whether the listener is reachable from this machine only.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(super) fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        let token = self.token.expose();
        let rule = if self.port == 0 {
            return Ok(());
        } else if token.is_empty() && !self.is_local() {
            "a token of at least 16 characters is required, because admin.host is no loopback address"
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

/// Settings of the embedded backend.
#[derive(Debug, Clone, Deserialize)]
pub struct EmbeddedSettings {
    /// The file; empty: one in the folder that the service or the user has for data.
    pub path: PathBuf,
    /// Time limit of a call to the file.
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
}

impl EmbeddedSettings {
    /// SQLite takes these names for databases that are gone when the process ends, or reads options from them.
    const NOT_FILES: [&str; 2] = [":memory:", "file:"];

    pub(super) fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        let path = self.path.to_string_lossy();
        let rule = if Self::NOT_FILES.iter().any(|name| path.starts_with(name)) {
            "must be the path of a file, because the data is kept there; it cannot begin with :memory: or file:"
        } else if path.ends_with('/') {
            "must be the path of a file, not of a folder"
        } else if path.contains('\0') {
            "must be the path of a file, without U+0000"
        } else {
            return Ok(());
        };
        Err(layers.error("embedded.path", rule))
    }
}

/// Settings of the services backend.
#[derive(Debug, Clone, Deserialize)]
pub struct ServicesSettings {
    /// `mysql://[user[:password]@]host[:port]/database`; the database must exist.
    pub mysql_url: SecretUrl,
    /// Maximum number of connections, 2–1000.
    pub mysql_connections: usize,
    /// Files for TLS to MySQL.
    pub mysql_ca_file: PathBuf,
    /// The client's certificate.
    pub mysql_cert_file: PathBuf,
    /// Its key.
    pub mysql_key_file: PathBuf,
    /// `redis[s]://[user:password@]host[:port][/number]` or `redis+unix:///path[?db=number&user=…&pass=…]`
    pub redis_url: SecretUrl,
    /// Files for TLS to Redis.
    pub redis_ca_file: PathBuf,
    /// The client's certificate.
    pub redis_cert_file: PathBuf,
    /// Its key.
    pub redis_key_file: PathBuf,
    /// Maximum number of the workers' connections, 1–1000; requests share one more.
    pub redis_connections: usize,
    /// Prefix of all keys.
    pub redis_prefix: String,
    /// Time after which an unused counter is evicted from Redis, 60 s to 100 days.
    #[serde(rename = "redis_idle_s", deserialize_with = "seconds")]
    pub redis_idle: Duration,
    /// `http(s)://[user:password@]host[:port]`
    pub elasticsearch_url: SecretUrl,
    /// Files for TLS to Elasticsearch.
    pub elasticsearch_ca_file: PathBuf,
    /// The client's certificate.
    pub elasticsearch_cert_file: PathBuf,
    /// Its key.
    pub elasticsearch_key_file: PathBuf,
    /// API key in its encoded form; empty: none.
    pub elasticsearch_api_key: Secret,
    /// The alias of the search index.
    pub elasticsearch_index: String,
    /// Time limit of a call to a store.
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
    /// Time limit of a write to Elasticsearch.
    #[serde(rename = "elasticsearch_write_timeout_ms", deserialize_with = "millis")]
    pub elasticsearch_write_timeout: Duration,
}

/// Settings of the workers.
#[derive(Debug, Clone, Deserialize)]
pub struct Workers {
    /// Tells whether this process runs the workers.
    pub enabled: bool,
    /// Maximum number of jobs in a batch, 1–5000.
    pub batch: usize,
    /// Maximum size of their payloads in bytes, up to 64 MiB.
    pub batch_bytes: usize,
    /// Lease time, after which the jobs of a crashed claimer are recovered; at least a second.
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    /// Interval of polling for jobs that other processes accepted.
    #[serde(rename = "poll_ms", deserialize_with = "millis")]
    pub poll: Duration,
    /// Time limit of one step, after which the worker counts as stalled; at least a second.
    #[serde(rename = "stall_ms", deserialize_with = "millis")]
    pub stall: Duration,
    /// Number of failures after which a job becomes a dead letter; 0 counts as 1.
    pub tries: u32,
    /// Maximum delay before the second attempt, doubled before each further one.
    #[serde(rename = "retry_ms", deserialize_with = "millis")]
    pub retry: Duration,
    /// Upper bound of that delay.
    #[serde(rename = "retry_max_ms", deserialize_with = "millis")]
    pub retry_max: Duration,
    /// Rows and documents that the reconciler compares in one step, 1–5000.
    pub reconcile_page: usize,
    /// Pause of the reconciler after each step.
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
    /// Maximum number of requests per second of one client; 0: no limit.
    pub requests_per_second: u32,
    /// Maximum number of requests of one client at once, 1–1,000,000.
    pub burst: u32,
    /// Size of a page in bytes, 128 KiB to 64 MiB.
    pub page_bytes: usize,
    /// Size of all responses under way in bytes, 1 MiB to 1 TiB.
    pub response_bytes: usize,
    /// Requests that wait for changes at once, 0–1,000,000.
    pub waiting_requests: usize,
    /// Number of proxies in front of the server, 0–10: that many entries of their header are trusted.
    pub proxies: usize,
    /// Header in which the proxies name their clients.
    pub proxy_header: ProxyHeader,
    /// Keys of the installation and of all applications, 1–1,000,000.
    pub keys: usize,
    /// Keys of one application, 1–100,000.
    pub keys_per_application: usize,
    /// Users of one application whose tokens were revoked within a day, 1–1,000,000.
    pub user_revocations: usize,
}

/// Header in which reverse proxies name their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`; `Forwarded` for requests without it.
    XForwardedFor,
    /// `Forwarded` (RFC 7239) only.
    Forwarded,
}

/// Retention of messages.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Retention {
    /// Days after which messages are deleted, 0–36,500; 0: never.
    pub messages_days: u32,
}

impl Retention {
    /// Age at which messages are deleted; `None`: never.
    pub fn messages_age(self) -> Option<Duration> {
        const DAY_S: u64 = 24 * 60 * 60;
        let days = u64::from(self.messages_days);
        (days > 0).then(|| Duration::from_secs(days * DAY_S))
    }
}

/// Settings of the log.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    /// Format of the lines.
    pub format: LogFormat,
    /// Level at startup; signals change it.
    pub level: LogLevel,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// An object a line, for machines.
    Json,
    /// Text for people.
    Text,
}

/// Log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Events that an operator must act on.
    Error,
    /// Also failures that are retried or rejected.
    Warn,
    /// Also a line per request, startup and shutdown.
    Info,
    /// Also a line per batch.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Name in the settings.
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

/// Whole seconds.
pub(super) fn seconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

pub(super) fn millis<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}
