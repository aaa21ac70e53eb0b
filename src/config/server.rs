//! Settings of the API's listener. `config/default.toml` documents each setting.

use std::{net::Ipv6Addr, path::PathBuf, time::Duration};

use serde::Deserialize;
use url::{Host, Url};

use super::{
    layers::{ConfigError, Layers},
    sections::millis,
};
use crate::listener::host::is_loopback;

/// Settings of the HTTP server.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// Names or addresses of this machine. Empty: none.
    #[serde(rename = "host")]
    pub addresses: Vec<String>,
    /// 0: any that is free.
    pub port: u16,
    /// A second port with the same routes; 0: none.
    pub creation_port: u16,
    /// Path of a unix socket with the same routes, for a reverse proxy. Empty: none.
    pub unix_socket: PathBuf,
    /// Its permissions.
    #[serde(deserialize_with = "mode")]
    pub unix_socket_mode: u32,
    /// Origins whose pages may use the API, as browsers write them: `https://chat.example.com`. Empty: only its own pages.
    pub cors_origins: Vec<String>,
    /// Names that a `Host` header may have on a loopback address, besides those of the loopback interface.
    pub hosts: Vec<String>,
    /// Maximum number of connections, 1–1,000,000, divided among the server's threads.
    pub connections: usize,
    /// Time limit for the head of a request, and again for its body.
    #[serde(rename = "client_timeout_ms", deserialize_with = "millis")]
    pub client_timeout: Duration,
    /// Time after which a client that takes no byte of its response is disconnected; at least a second.
    #[serde(rename = "write_timeout_ms", deserialize_with = "millis")]
    pub write_timeout: Duration,
    /// Time that readiness returns 503 before the port closes.
    #[serde(rename = "drain_ms", deserialize_with = "millis")]
    pub drain: Duration,
    /// Time limit of the shutdown.
    #[serde(rename = "shutdown_timeout_ms", deserialize_with = "millis")]
    pub shutdown_timeout: Duration,
}

impl Server {
    /// Returns an address that other machines may reach; `None` if all are loopback addresses. A unix socket counts as
    /// one: only users of this machine reach it, as far as its permissions let them.
    pub fn reachable_address(&self) -> Option<&str> {
        let mut addresses = self.addresses.iter().map(String::as_str);
        addresses.find(|address| !is_loopback(address))
    }

    pub(super) fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        self.check_addresses(layers)?;
        self.check_ports(layers)?;
        self.check_origins(layers)?;
        self.check_hosts(layers)
    }

    fn check_ports(&self, layers: &Layers) -> Result<(), ConfigError> {
        if self.creation_port != 0 && self.creation_port == self.port {
            let rule = "must differ from server.port; 0 disables it";
            return Err(layers.error("server.creation_port", rule));
        }
        Ok(())
    }

    fn check_addresses(&self, layers: &Layers) -> Result<(), ConfigError> {
        if self.addresses.is_empty() && self.unix_socket.as_os_str().is_empty() {
            let rule = "there is nothing to listen on: set it, or server.unix_socket";
            return Err(layers.error("server.host", rule));
        }
        for address in &self.addresses {
            if !is_host(address) {
                let rule = format!(
                    "{address:?} is no name or address of this machine: use it without scheme or port, such as 127.0.0.1 or ::1"
                );
                return Err(layers.error("server.host", &rule));
            }
        }
        Ok(())
    }

    fn check_origins(&self, layers: &Layers) -> Result<(), ConfigError> {
        for origin in &self.cors_origins {
            if origin.contains('*') {
                let rule = format!(
                    "{origin:?} has a wildcard, which is not supported: list each origin, such as https://chat.example.com"
                );
                return Err(layers.error("server.cors_origins", &rule));
            }
            let url = Url::parse(origin).ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
            // Browsers send it to the letter as this writes it.
            if url.is_none_or(|url| url.origin().ascii_serialization() != *origin) {
                let rule = format!(
                    "{origin:?} is no origin: use a scheme, a host and optionally a port, such as https://chat.example.com"
                );
                return Err(layers.error("server.cors_origins", &rule));
            }
        }
        Ok(())
    }

    fn check_hosts(&self, layers: &Layers) -> Result<(), ConfigError> {
        for host in &self.hosts {
            if !is_host(host) {
                let rule = format!(
                    "{host:?} is no name of a host: use a name or an address without scheme, port or wildcard, such as chat.example.com"
                );
                return Err(layers.error("server.hosts", &rule));
            }
        }
        Ok(())
    }
}

/// Tells whether a text is a name or an address, IPv6 with or without brackets.
fn is_host(text: &str) -> bool {
    let is_host = text.parse::<Ipv6Addr>().is_ok() || Host::parse(text).is_ok();
    is_host && !text.contains('*')
}

/// Permissions of a file in octal digits, as `chmod` takes them.
fn mode<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let digits = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(&digits, 8).ok();
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{digits:?} is no file mode: use octal digits such as 660"
        ))
    })
}
