//! Settings: `config/default.toml`, then a file, then the environment; checked once, at the start.

mod layers;
mod secret;
mod sections;
mod server;

use std::{path::Path, time::Duration};

use serde::Deserialize;

use self::layers::Layers;
pub use self::{
    layers::{ConfigError, environment},
    secret::{Secret, SecretUrl},
    sections::{
        Admin, EmbeddedSettings, Limits, Log, LogFormat, LogLevel, ProxyHeader, ServicesSettings,
        Workers,
    },
    server::Server,
};

/// All settings. `config/default.toml` documents each of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Storage backend.
    #[serde(rename = "backing")]
    pub backend: BackendKind,
    /// The API's listener.
    pub server: Server,
    /// The operators' listener.
    pub admin: Admin,
    /// Settings of [`BackendKind::Embedded`].
    pub embedded: EmbeddedSettings,
    /// Settings of [`BackendKind::Services`].
    pub services: ServicesSettings,
    /// Background workers.
    pub workers: Workers,
    /// Bounds of the queue, and the rate limit.
    pub limits: Limits,
    /// Log level and format.
    pub log: Log,
}

/// Storage backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// One SQLite file.
    Embedded,
    /// MySQL, Redis and Elasticsearch.
    Services,
}

impl Settings {
    /// Reads and checks the settings; `file` is the one given by `--config`, `variables` are those of the environment.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used. The error is one line that names the key and its origin, and never a secret.
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let layers = Layers::read(file, variables)?;
        let settings: Self = layers.merge()?;
        settings.check(&layers)?;
        Ok(settings)
    }

    fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        if self.backend == BackendKind::Services {
            self.check_urls(layers)?;
        }
        self.admin.check(layers)?;
        self.server.check(layers)?;
        let (workers, limits) = (&self.workers, &self.limits);
        let (mysql, redis) = (
            self.services.mysql_connections,
            self.services.redis_connections,
        );
        for (key, value, range) in [
            ("services.mysql_connections", mysql, 2..=1000),
            ("services.redis_connections", redis, 1..=1000),
            ("server.connections", self.server.connections, 1..=1_000_000),
            // Lua passes a batch on as arguments, of which it takes some 8,000.
            ("workers.batch", workers.batch, 1..=5000),
            ("workers.batch_bytes", workers.batch_bytes, 1..=64 << 20),
            ("workers.reconcile_page", workers.reconcile_page, 1..=5000),
            ("limits.queue_depth", limits.queue_depth, 1..=1_000_000_000),
            ("limits.dead_letters", limits.dead_letters, 1..=1_000_000),
            ("limits.burst", limits.burst as usize, 1..=1_000_000),
            ("limits.proxies", limits.proxies, 0..=10),
        ] {
            if !range.contains(&value) {
                let (min, max) = (range.start(), range.end());
                let rule = format!("must be from {min} to {max}, not {value}");
                return Err(layers.error(key, &rule));
            }
        }
        for (key, time) in [
            ("workers.lease_ms", workers.lease),
            ("workers.stall_ms", workers.stall),
        ] {
            if time < Duration::from_secs(1) {
                return Err(layers.error(key, "must be at least 1000"));
            }
        }
        Ok(())
    }

    fn check_urls(&self, layers: &Layers) -> Result<(), ConfigError> {
        let services = &self.services;
        let urls: [(&str, &SecretUrl, &[&str]); 3] = [
            ("services.mysql_url", &services.mysql_url, &["mysql"]),
            ("services.redis_url", &services.redis_url, &["redis"]),
            (
                "services.elasticsearch_url",
                &services.elasticsearch_url,
                &["http", "https"],
            ),
        ];
        for (key, url, schemes) in urls {
            if !schemes.contains(&url.expose().scheme()) {
                return Err(layers.error(key, &format!("must begin with {}://", schemes[0])));
            }
            if url.expose().host_str().unwrap_or_default().is_empty() {
                return Err(layers.error(key, "the URL has no host"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let settings = Settings::read(None, []).unwrap();
        assert_eq!(settings.server.port, 3001);
    }
}
