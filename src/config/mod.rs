//! Settings: `config/default.toml`, then a file, then the environment; checked once, at the start.

mod auth;
mod environment;
mod layers;
mod rules;
mod secret;
mod sections;
mod server;
mod services;
mod types;

use std::path::Path;

use serde::Deserialize;

use self::layers::Layers;
pub use self::{
    auth::{Auth, AuthMode},
    environment::Environment,
    layers::ConfigError,
    rules::MAX_TOKEN_TTL_S,
    secret::{Secret, SecretUrl},
    sections::{
        Admin, EmbeddedSettings, Limits, Log, LogFormat, LogLevel, ProxyHeader, Retention,
        ServicesSettings, Workers,
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
    /// Access to the API.
    pub auth: Auth,
    /// Settings of [`BackendKind::Embedded`].
    pub embedded: EmbeddedSettings,
    /// Settings of [`BackendKind::Services`].
    pub services: ServicesSettings,
    /// Background workers.
    pub workers: Workers,
    /// Bounds of the queue, and the rate limit.
    pub limits: Limits,
    /// Retention of messages.
    pub retention: Retention,
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
    /// Reads and checks the settings; `file` is the one given by `--config`.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used. The error is one line that names the key and its origin, and never a secret.
    pub fn read(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let layers = Layers::read(file, environment)?;
        let settings: Self = layers.merge()?;
        settings.check(&layers)?;
        Ok(settings)
    }

    fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        if self.backend == BackendKind::Services {
            self.services.check(layers)?;
        }
        self.admin.check(layers)?;
        self.server.check(layers)?;
        self.auth.check(&self.server, layers)?;
        self.embedded.check(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let settings = Settings::read(None, &Environment::default()).unwrap();
        assert_eq!(settings.server.port, 3001);
    }

    #[test]
    fn every_word_is_accepted_in_any_case() {
        for (key, words) in rules::WORDS {
            for word in words {
                let name = format!("CONFAB_{}", key.replace('.', "__").to_uppercase());
                let environment = [(name, word.to_uppercase())].into_iter().collect();
                Settings::read(None, &environment).unwrap();
            }
        }
    }
}
