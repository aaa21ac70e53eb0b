//! Server of an application: threads, connections and their limits.
//!
//! actix-web's `HttpServer` waits without limit for a client that does not read, and responds to malformed HTTP without
//! a body. Both need access to the connection, so this module starts actix's server and HTTP service itself.

use std::{
    fmt::Debug,
    io,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::net::UnixListener},
    time::Duration,
};

use actix_http::{HttpService, Request, Response, error::DispatchError};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Server},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::connection::Connection;

/// Number of bytes that the system buffers for a connection beyond those that the client has room for. Without this limit
/// it would take megabytes for each client that does not read, and would not say for how long.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// Time that a client has to read the last response before its connection is closed.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Number of threads.
    pub threads: usize,
    /// Maximum number of connections; further ones wait in the system's backlog.
    pub connections: usize,
    /// Time limit for the head of a request.
    pub head_timeout: Duration,
    /// Time after which a client that takes no byte of its response is disconnected.
    pub write_timeout: Duration,
    /// Time limit of open requests at the shutdown.
    pub shutdown_timeout: Duration,
}

/// Starts a server of the application that `app` makes, once for each thread and socket. It serves requests while it is
/// polled.
///
/// # Errors
///
/// A socket cannot be used.
pub fn serve<F, A, S, B>(
    limits: &Limits,
    tcp: Vec<TcpListener>,
    unix: Option<UnixListener>,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> A + Send + Clone + 'static,
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let (threads, shutdown) = (limits.threads, limits.shutdown_timeout.as_secs());
    let mut builder = Server::build()
        .disable_signals()
        .workers(threads)
        // actix counts connections per thread.
        .max_concurrent_connections(limits.connections.div_ceil(threads))
        .shutdown_timeout(shutdown);
    let stopping = builder.graceful_shutdown_signal();
    // A factory of the services of one thread, from the factory of the streams' peers.
    macro_rules! services {
        ($stream:ty, $peer:expr) => {{
            let (limits, app, stopping) = (limits.clone(), app.clone(), stopping.clone());
            move || {
                let stopping = stopping.clone();
                let app = app().into_factory();
                let app = app.map_err(|error: S::Error| error.into().error_response());
                let http = HttpService::build()
                    .client_request_timeout(limits.head_timeout)
                    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                    // A request that waits ends with its client.
                    .h1_allow_half_closed(false)
                    .graceful_shutdown_signal(move || {
                        let stopping = stopping.clone();
                        async move { stopping.notified().await }
                    })
                    .h1(map_config(app, |()| AppConfig::default()));
                let limit = limits.write_timeout;
                fn_service(move |stream: $stream| accepted(stream, $peer, limit)).and_then(http)
            }
        }};
    }
    for listener in tcp {
        // Accepted connections inherit it.
        #[cfg(target_os = "linux")]
        SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT)?;
        let name = format!("http {}", listener.local_addr()?);
        let peer = |stream: &TcpStream| stream.peer_addr().ok();
        builder = builder.listen(name, listener, services!(TcpStream, peer))?;
    }
    if let Some(listener) = unix {
        let peer = |_: &UnixStream| None;
        builder = builder.listen_uds("http unix", listener, services!(UnixStream, peer))?;
    }
    Ok(builder.run())
}

/// Makes the input of the HTTP service: a connection, and the address of its peer.
async fn accepted<T: AsyncRead + AsyncWrite + AsFd + Unpin>(
    stream: T,
    peer: impl Fn(&T) -> Option<SocketAddr>,
    write_timeout: Duration,
) -> Result<(Connection<T>, Option<SocketAddr>), DispatchError> {
    let peer = peer(&stream);
    Ok((Connection::new(stream, write_timeout), peer))
}
