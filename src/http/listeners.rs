//! Addresses and unix socket of the API.

use std::{io, net::TcpListener, os::unix::net::UnixListener};

use tracing::info;

use crate::{
    config,
    listener::bind::{self, SocketFile},
};

/// Sockets of the API, before the server uses them.
pub struct Listeners {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) unix: Option<UnixListener>,
    /// File of the unix socket.
    pub file: Option<SocketFile>,
}

impl Listeners {
    /// Starts to listen; connections wait until the server runs.
    ///
    /// # Errors
    ///
    /// An address or socket of the settings that cannot be listened on. The error names the setting.
    pub fn bind(settings: &config::Server) -> io::Result<Self> {
        let mut tcp = bind::tcp(&settings.addresses, settings.port)
            .map_err(|error| named(error, "server.host, server.port"))?;
        let first = tcp.first().map(TcpListener::local_addr).transpose()?;
        if settings.creation_port != 0 {
            let more = bind::tcp(&settings.addresses, settings.creation_port);
            tcp.extend(more.map_err(|error| named(error, "server.host, server.creation_port"))?);
        }
        let path = &settings.unix_socket;
        let (unix, file) = if path.as_os_str().is_empty() {
            (None, None)
        } else {
            let socket = bind::unix(path, settings.unix_socket_mode);
            let (listener, file) = socket.map_err(|error| named(error, "server.unix_socket"))?;
            (Some(listener), Some(file))
        };
        for listener in &tcp {
            info!("API listening on http://{}", listener.local_addr()?);
        }
        if unix.is_some() {
            info!("API listening on unix:{}", path.display());
        }
        if let Some(address) = first {
            info!(
                "try: curl -d '{{\"username\":\"me\"}}' -H 'Content-Type: application/json' http://{address}/application"
            );
        }
        Ok(Self { tcp, unix, file })
    }
}

fn named(error: io::Error, settings: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{error} ({settings})"))
}
