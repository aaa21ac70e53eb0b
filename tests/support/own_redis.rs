//! A Redis for one test alone, whose settings and whose end are the test's business.

use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::{Site, eventually, free_port};

/// A Redis of the test's own; it ends with it.
pub struct OwnRedis {
    child: Child,
    /// Where it is.
    pub url: String,
}

impl OwnRedis {
    /// Starts it with these arguments, in the test's folder, and waits until it answers.
    pub async fn start(site: &Site, settings: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", ""])
            .arg("--dir")
            .arg(site.folder())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self {
            child,
            url: format!("redis://127.0.0.1:{port}"),
        };
        eventually("Redis answers", async || {
            TcpStream::connect(("127.0.0.1", port)).await.map(drop)
        })
        .await;
        redis
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
