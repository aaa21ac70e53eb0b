//! A TCP proxy that stands between the program and a store, and can take the store away.

use std::io;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use url::Url;

use super::free_port;

/// Refuses connections until it is opened, and again once it is cut.
pub struct Proxy {
    port: u16,
    target: Url,
    forwarding: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy before the store at `target` (a URL with host and port) that refuses every connection.
    pub fn refusing(target: &str) -> Self {
        Self {
            port: free_port(),
            target: Url::parse(target).expect("the store's URL is valid"),
            forwarding: None,
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
        self.forwarding = Some(tokio::spawn(forward(listener, format!("{host}:{port}"))));
    }

    /// Cuts every connection where it stands, and refuses new ones from now on.
    pub async fn cut(&mut self) {
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.abort();
            // Once the task has ended, its listener and its connections are closed.
            forwarding.await.ok();
        }
    }
}

/// Lives until it is aborted; its connections then end with it.
async fn forward(listener: TcpListener, target: String) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let target = target.clone();
        connections.spawn(async move {
            let mut far = TcpStream::connect(target).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            copy_bidirectional(&mut near, &mut far).await?;
            io::Result::Ok(())
        });
        while connections.try_join_next().is_some() {}
    }
}
