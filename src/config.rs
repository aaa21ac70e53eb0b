//! Settings: `config/default.toml`, then a file, then the environment; checked once, at the start.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::Path,
    time::Duration,
};

use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use serde::Deserialize;
use thiserror::Error;
use url::Url;

const DEFAULTS: &str = include_str!("../config/default.toml");
const PREFIX: &str = "CONFAB";

/// Why the settings cannot be used: one line that names the key and where it came from, and never a secret.
#[derive(Debug, Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

/// All settings; `config/default.toml` says what each does.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    pub backing: Backing,
    pub server: Server,
    pub services: Services,
    pub workers: Workers,
    pub limits: Limits,
    pub log: Log,
}

/// Where everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backing {
    /// MySQL, Redis and Elasticsearch.
    Services,
}

/// Settings of the HTTP server.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub creation_port: u16,
    pub connections: usize,
    #[serde(rename = "client_timeout_ms", deserialize_with = "millis")]
    pub client_timeout: Duration,
    #[serde(rename = "shutdown_timeout_ms", deserialize_with = "millis")]
    pub shutdown_timeout: Duration,
}

/// Settings of the services backing.
#[derive(Debug, Clone, Deserialize)]
pub struct Services {
    pub mysql_url: SecretUrl,
    pub mysql_connections: usize,
    pub redis_url: SecretUrl,
    pub redis_connections: usize,
    pub redis_prefix: String,
    pub elasticsearch_url: SecretUrl,
    pub elasticsearch_index: String,
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
}

/// Settings of the workers.
#[derive(Debug, Clone, Deserialize)]
pub struct Workers {
    pub enabled: bool,
    pub batch: usize,
    pub batch_bytes: usize,
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    #[serde(rename = "poll_ms", deserialize_with = "millis")]
    pub poll: Duration,
    pub tries: u32,
    #[serde(rename = "retry_ms", deserialize_with = "millis")]
    pub retry: Duration,
    #[serde(rename = "retry_max_ms", deserialize_with = "millis")]
    pub retry_max: Duration,
    pub reconcile_page: usize,
    #[serde(rename = "reconcile_pause_ms", deserialize_with = "millis")]
    pub reconcile_pause: Duration,
}

/// Bounds on what is kept.
#[derive(Debug, Clone, Deserialize)]
pub struct Limits {
    pub queue_depth: usize,
    pub dead_letters: usize,
}

/// Settings of the log.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A URL that may hold a password, and so shows only its scheme, host and port.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// The whole of it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Settings {
    /// Reads and checks the settings; `file` is the one given by `--config`, `variables` are those of the environment.
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let defaults = build("the defaults", File::from_str(DEFAULTS, FileFormat::Toml))?;
        let known: BTreeSet<String> = keys(&defaults).into_iter().collect();
        let mut builder = Config::builder().add_source(defaults);
        if let Some(path) = file {
            let origin = path.display().to_string();
            let source = File::from(path).format(FileFormat::Toml).required(true);
            let layer = build(&origin, source)?;
            refuse_unknown(&layer, &known, |key| format!("{key} (in {origin})"))?;
            builder = builder.add_source(layer);
        }
        let environment = Environment::with_prefix(PREFIX)
            .source(Some(variables.into_iter().collect()))
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true);
        let layer = build("the environment", environment)?;
        refuse_unknown(&layer, &known, |key| {
            format!("{key} (the environment variable {})", variable(key))
        })?;
        let config = builder
            .add_source(layer)
            .build()
            .map_err(|error| ConfigError(error.to_string()))?;
        let settings: Self = config
            .clone()
            .try_deserialize()
            .map_err(|error| ConfigError(describe(error)))?;
        settings.check(&config)?;
        Ok(settings)
    }

    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let services = &self.services;
        for (key, url, schemes) in [
            (
                "services.mysql_url",
                &services.mysql_url,
                &["mysql"] as &[&str],
            ),
            (
                "services.redis_url",
                &services.redis_url,
                &["redis", "unix"],
            ),
            (
                "services.elasticsearch_url",
                &services.elasticsearch_url,
                &["http", "https"],
            ),
        ] {
            let complaint = if url.0.host_str().unwrap_or_default().is_empty() {
                "the URL names no host".to_owned()
            } else if !schemes.contains(&url.0.scheme()) {
                format!("the URL must begin with {}://", schemes[0])
            } else {
                continue;
            };
            return Err(ConfigError(format!(
                "{key}{}: {complaint}",
                origin(config, key)
            )));
        }
        for (key, value, least, most) in [
            (
                "services.mysql_connections",
                services.mysql_connections,
                2,
                1000,
            ),
            (
                "services.redis_connections",
                services.redis_connections,
                1,
                1000,
            ),
            // More than this, and Lua cannot pass a batch on in one piece.
            ("workers.batch", self.workers.batch, 1, 5000),
            ("workers.batch_bytes", self.workers.batch_bytes, 1, 64 << 20),
            (
                "workers.reconcile_page",
                self.workers.reconcile_page,
                1,
                5000,
            ),
            ("server.connections", self.server.connections, 1, 1_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ConfigError(format!(
                    "{key}{}: {value} is not from {least} to {most}",
                    origin(config, key)
                )));
            }
        }
        let lease = self.workers.lease;
        if lease < Duration::from_secs(1) {
            return Err(ConfigError(format!(
                "workers.lease_ms{}: must be at least 1000",
                origin(config, "workers.lease_ms")
            )));
        }
        Ok(())
    }
}

fn build<S: config::Source + Send + Sync + 'static>(
    origin: &str,
    source: S,
) -> Result<Config, ConfigError> {
    let layer = Config::builder().add_source(source).build();
    layer.map_err(|error| {
        let text = error.to_string().replace('\n', " ");
        ConfigError(format!("{origin}: {text}"))
    })
}

fn refuse_unknown(
    layer: &Config,
    known: &BTreeSet<String>,
    describe: impl Fn(&str) -> String,
) -> Result<(), ConfigError> {
    match keys(layer).iter().find(|key| !known.contains(*key)) {
        None => Ok(()),
        Some(key) => Err(ConfigError(format!(
            "unknown key {}; config/default.toml lists them all",
            describe(key)
        ))),
    }
}

/// All keys of a layer, with dots between their levels.
fn keys(layer: &Config) -> Vec<String> {
    fn collect(path: &str, value: &Value, keys: &mut Vec<String>) {
        if let ValueKind::Table(table) = &value.kind {
            for (key, value) in table {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect(&path, value, keys);
            }
        } else {
            keys.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    collect("", &layer.cache, &mut found);
    found
}

/// The variables of this process that are settings. What begins with these two is for the project's tests and scripts.
pub fn environment() -> HashMap<String, String> {
    const OTHERS: [&str; 2] = ["CONFAB_TEST_", "CONFAB_STORES_"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !OTHERS.iter().any(|other| name.starts_with(other)))
        .collect()
}

fn variable(key: &str) -> String {
    format!("{PREFIX}_{}", key.replace('.', "__").to_uppercase())
}

/// Where a key's value came from, in parentheses.
fn origin(config: &Config, key: &str) -> String {
    match config
        .get::<Value>(key)
        .ok()
        .and_then(|value| value.origin().map(str::to_owned))
    {
        Some(origin) if origin.contains("environment") => {
            format!(" (the environment variable {})", variable(key))
        }
        Some(origin) => format!(" (in {origin})"),
        None => String::new(),
    }
}

/// One line about a value of the wrong type, without the value where that may be secret.
fn describe(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, origin, key } => {
            let key = key.unwrap_or_default();
            let origin = origin
                .map(|origin| format!(" (in {origin})"))
                .unwrap_or_default();
            let what = if key.ends_with("_url") {
                "is no URL".to_owned()
            } else {
                describe(*error)
            };
            format!("{key}{origin}: {what}")
        }
        config::ConfigError::Type {
            origin,
            unexpected,
            expected,
            key,
        } => {
            let key = key.unwrap_or_default();
            let origin = origin
                .map(|origin| format!(" (in {origin})"))
                .unwrap_or_default();
            if key.ends_with("_url") {
                return format!("{key}{origin}: is no URL");
            }
            format!("{key}{origin}: {unexpected}, where {expected} is wanted")
        }
        error => error.to_string().replace('\n', " "),
    }
}

fn millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let settings = Settings::read(None, []).unwrap();
        assert_eq!(settings.server.port, 3001);
    }

    #[test]
    fn a_url_never_shows_its_password() {
        let url = SecretUrl(Url::parse("mysql://me:hunter2@db:3306/confab").unwrap());
        assert_eq!(format!("{url:?}"), "mysql://db:3306");
    }
}
