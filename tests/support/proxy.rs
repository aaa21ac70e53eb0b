//! A TCP proxy that stands between the program and a store, and can take the store away.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use url::Url;

use super::free_port;

/// Refuses connections until it is opened, and again once it is cut.
pub struct Proxy {
    port: u16,
    target: Url,
    forwarding: Option<JoinHandle<()>>,
    valve: watch::Sender<Valve>,
}

/// What becomes of the connections while the proxy is open.
#[derive(Debug, Clone, Copy)]
struct Valve {
    /// No byte passes.
    shut: bool,
    /// Raised to end the connections that there are.
    generation: u64,
}

impl Proxy {
    /// A proxy before the store at `target` (a URL with host and port) that refuses every connection.
    pub fn refusing(target: &str) -> Self {
        Self {
            port: free_port(),
            target: Url::parse(target).expect("the store's URL is valid"),
            forwarding: None,
            valve: watch::Sender::new(Valve {
                shut: false,
                generation: 0,
            }),
        }
    }

    /// The store's URL, by way of this proxy.
    pub fn url(&self) -> String {
        let mut url = self.target.clone();
        url.set_host(Some("127.0.0.1")).expect("the URL has a host");
        url.set_port(Some(self.port)).expect("the URL has a port");
        url.to_string()
    }

    /// Forwards connections from now on.
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .await
            .expect("the proxy's port is still free");
        let host = self.target.host_str().expect("the URL has a host");
        let port = self.target.port().expect("the URL has a port");
        let forwarding = forward(listener, format!("{host}:{port}"), self.valve.subscribe());
        self.forwarding = Some(tokio::spawn(forwarding));
    }

    /// Cuts every connection where it stands, and refuses new ones from now on.
    pub async fn cut(&mut self) {
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.abort();
            // Once the task has ended, its listener and its connections are closed.
            forwarding.await.ok();
        }
    }

    /// Cuts every connection where it stands, and takes new ones.
    pub fn cut_now(&self) {
        self.valve.send_modify(|valve| valve.generation += 1);
    }

    /// Takes connections, and lets no byte pass from now on, on old ones neither.
    pub fn hang(&self) {
        self.valve.send_modify(|valve| valve.shut = true);
    }

    /// Lets the bytes pass again, first those that were held up.
    pub fn resume(&self) {
        self.valve.send_modify(|valve| valve.shut = false);
    }
}

/// Lives until it is aborted; its connections then end with it.
async fn forward(listener: TcpListener, target: String, valve: watch::Receiver<Valve>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (target, mut valve) = (target.clone(), valve.clone());
        let generation = valve.borrow().generation;
        connections.spawn(async move {
            let gate = valve.clone();
            tokio::select! {
                outcome = connect(near, target, gate) => outcome,
                _ = valve.wait_for(|valve| valve.generation != generation) => Ok(()),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(near: TcpStream, target: String, gate: watch::Receiver<Valve>) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    // Either side's end is not yet the other's.
    tokio::try_join!(
        pass(near_read, far_write, gate.clone()),
        pass(far_read, near_write, gate),
    )?;
    Ok(())
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: watch::Receiver<Valve>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        // Also the end of a connection is not heard of while nothing passes.
        let open = gate.wait_for(|valve| !valve.shut).await.map(|_| ());
        open.map_err(io::Error::other)?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..length]).await?;
    }
}
