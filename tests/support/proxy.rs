//! A TCP proxy between the program and a store, which can make the store unreachable.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use url::Url;

use super::{eventually, free_port};

/// A proxy that refuses connections until it is opened, and again after it is cut.
pub struct Proxy {
    port: u16,
    target: Url,
    /// The host and port that new connections lead to.
    address: Arc<Mutex<String>>,
    forwarding: Option<JoinHandle<()>>,
    state: watch::Sender<ProxyState>,
}

/// The state of the connections while the proxy is open.
#[derive(Debug, Clone, Copy)]
struct ProxyState {
    /// No data is transferred.
    blocked: bool,
    /// A connection that transfers this text transfers nothing more.
    hangs_on: Option<&'static str>,
    /// Incremented to close all existing connections.
    generation: u64,
}

impl Proxy {
    /// Creates a proxy that refuses every connection. `target` is the URL of the store, with host and port.
    pub fn refusing(target: &str) -> Self {
        let target = Url::parse(target).expect("the store's URL is valid");
        Self {
            port: free_port(),
            address: Arc::new(Mutex::new(address(&target))),
            target,
            forwarding: None,
            state: watch::Sender::new(ProxyState {
                blocked: false,
                hangs_on: None,
                generation: 0,
            }),
        }
    }

    /// The URL of the store through this proxy.
    pub fn url(&self) -> String {
        let mut url = self.target.clone();
        url.set_host(Some("127.0.0.1")).expect("the URL has a host");
        url.set_port(Some(self.port)).expect("the URL has a port");
        url.to_string()
    }

    /// The port of this proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads new connections to the store at another URL. Existing connections stay.
    pub fn redirect(&self, target: &str) {
        let target = Url::parse(target).expect("the store's URL is valid");
        *lock(&self.address) = address(&target);
    }

    /// Starts to forward connections.
    pub async fn open(&mut self) {
        // A program that another test is starting holds a copy of the former listener until its `exec`.
        let listener = eventually("the proxy's port is free", async || {
            TcpListener::bind(("127.0.0.1", self.port)).await
        })
        .await;
        let forwarding = forward(listener, self.address.clone(), self.state.subscribe());
        self.forwarding = Some(tokio::spawn(forwarding));
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&mut self) {
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.abort();
            // When the task has ended, its listener and connections are closed.
            forwarding.await.ok();
        }
    }

    /// Closes every connection and accepts new ones.
    pub fn cut_now(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Accepts connections, but transfers no data, neither on new nor on existing ones.
    pub fn hang(&self) {
        self.state.send_modify(|state| state.blocked = true);
    }

    /// Transfers data, but for requests that hold this text: such a connection hangs.
    pub fn hang_on(&self, text: &'static str) {
        self.state.send_modify(|state| state.hangs_on = Some(text));
    }

    /// Transfers data again, beginning with what was held back.
    pub fn resume(&self) {
        self.state.send_modify(|state| state.blocked = false);
    }
}

fn address(target: &Url) -> String {
    let host = target.host_str().expect("the URL has a host");
    let port = target.port().expect("the URL has a port");
    format!("{host}:{port}")
}

fn lock(address: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    address.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until it is aborted, which closes its connections.
async fn forward(
    listener: TcpListener,
    address: Arc<Mutex<String>>,
    state: watch::Receiver<ProxyState>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (target, mut state) = (lock(&address).clone(), state.clone());
        let generation = state.borrow().generation;
        connections.spawn(async move {
            let forwarded_state = state.clone();
            tokio::select! {
                outcome = connect(near, target, forwarded_state) => outcome,
                _ = state.wait_for(|state| state.generation != generation) => Ok(()),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    near: TcpStream,
    target: String,
    state: watch::Receiver<ProxyState>,
) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    // One direction may end before the other.
    tokio::try_join!(
        pass(near_read, far_write, state.clone()),
        pass(far_read, near_write, state),
    )?;
    Ok(())
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<ProxyState>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        // The end of a connection is held back too.
        let open = state.wait_for(|state| !state.blocked).await.map(|_| ());
        open.map_err(io::Error::other)?;
        let hangs_on = state.borrow().hangs_on.map(str::as_bytes);
        let hangs = |text: &[u8]| bytes[..length].windows(text.len()).any(|part| part == text);
        if hangs_on.is_some_and(hangs) {
            return std::future::pending().await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..length]).await?;
    }
}
