//! Settings of the credentials. `config/default.toml` documents each setting.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    layers::{ConfigError, Layers},
    sections::seconds,
    server::Server,
};

/// Settings of the credentials.
#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    /// Mode that was set. Without one every request is let in, as only this machine can reach the server.
    #[serde(deserialize_with = "mode")]
    mode: Option<AuthMode>,
    /// File with an installation key. Empty: none.
    pub first_key_file: PathBuf,
    /// Time for which credentials are accepted while the database is unreachable.
    #[serde(rename = "grace_s", deserialize_with = "seconds")]
    pub grace: Duration,
    /// Maximum lifetime of a user token.
    #[serde(rename = "token_max_ttl_s", deserialize_with = "seconds")]
    pub token_max_ttl: Duration,
    /// Memory for verified user tokens in bytes, 64 KiB to 1 GiB.
    pub token_cache_bytes: usize,
}

/// Mode of access to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Everybody.
    Open,
    /// Requests with a credential.
    Required,
}

impl Auth {
    /// The mode that is set, else [`AuthMode::Open`]. The settings are refused if the server is reachable from other
    /// machines and none is set.
    pub fn mode(&self) -> AuthMode {
        self.mode.unwrap_or(AuthMode::Open)
    }

    pub(super) fn check(&self, server: &Server, layers: &Layers) -> Result<(), ConfigError> {
        match server.reachable_address() {
            Some(address) if self.mode.is_none() => {
                let rule = format!(
                    "must be set, because server.host has {address:?}, which is no loopback address: \"required\" (every request needs a key or a user token) or \"open\" (every request is let in)"
                );
                Err(layers.error("auth.mode", &rule))
            }
            _ => Ok(()),
        }
    }
}

fn mode<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<AuthMode>, D::Error> {
    // The words were checked before.
    let word = String::deserialize(deserializer)?;
    Ok(match word.as_str() {
        "open" => Some(AuthMode::Open),
        "required" => Some(AuthMode::Required),
        _ => None,
    })
}
