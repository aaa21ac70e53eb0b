//! A Redis server for one test, for tests that change its settings or stop it.

use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::{Fixture, eventually, free_port};

/// A Redis server that is killed when dropped.
pub struct DedicatedRedis {
    child: Child,
    /// Its URL.
    pub url: String,
}

impl DedicatedRedis {
    /// Starts the server with these arguments in the test's folder, and waits until it answers.
    pub async fn start(fixture: &Fixture, settings: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", ""])
            .arg("--dir")
            .arg(fixture.folder())
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

impl Drop for DedicatedRedis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
