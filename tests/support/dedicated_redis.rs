//! Redis servers for one test, for tests that change their settings, stop them, or let one take over from another.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use deadpool_redis::redis::{self, RedisResult, Value};
use tokio::net::TcpStream;

use super::{Authority, Fixture, Identity, eventually, eventually_eq, free_port};

/// A Redis server that is killed when dropped.
pub struct DedicatedRedis {
    child: Option<Child>,
    folder: PathBuf,
    settings: Vec<String>,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its URL.
    pub url: String,
}

impl DedicatedRedis {
    /// Starts the server with these arguments in a folder of its own, and waits until it answers.
    pub async fn start(fixture: &Fixture, settings: &[&str]) -> Self {
        let port = free_port();
        Self::start_at(fixture, port, format!("redis://127.0.0.1:{port}"), settings).await
    }

    /// Starts a server that accepts only TLS, from clients with a certificate of this authority.
    pub async fn start_tls(
        fixture: &Fixture,
        authority: &Authority,
        identity: &Identity,
        settings: &[&str],
    ) -> Self {
        let port = free_port();
        // The last value of a setting counts: no port without TLS.
        let tls = [
            ["--port", "0"],
            ["--tls-port", &port.to_string()],
            ["--tls-cert-file", &identity.cert],
            ["--tls-key-file", &identity.key],
            ["--tls-ca-cert-file", &authority.file()],
        ];
        let settings = [tls.as_flattened(), settings].concat();
        let url = format!("rediss://127.0.0.1:{port}");
        Self::start_at(fixture, port, url, &settings).await
    }

    async fn start_at(fixture: &Fixture, port: u16, url: String, settings: &[&str]) -> Self {
        let folder = fixture.folder().join(format!("redis-{port}"));
        fs::create_dir(&folder).expect("the test's folder takes folders");
        let mut redis = Self {
            child: None,
            folder,
            settings: settings.iter().map(|text| (*text).to_owned()).collect(),
            port,
            url,
        };
        redis.start_again().await;
        redis
    }

    /// Starts a server that keeps its data when it is killed.
    pub async fn durable(fixture: &Fixture) -> Self {
        Self::start(
            fixture,
            &["--appendonly", "yes", "--repl-diskless-sync-delay", "0"],
        )
        .await
    }

    /// Starts the killed server with its data.
    pub async fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", ""])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.settings)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        listens(self.port).await;
        if self.url.starts_with("redis://") {
            answers(&self.url).await;
        }
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Sends a command; the words are separated by spaces.
    pub async fn tell(&self, command: &str) -> RedisResult<Value> {
        let client = redis::Client::open(self.url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut words = command.split(' ');
        let mut sent = redis::cmd(words.next().unwrap_or_default());
        sent.arg(words.collect::<Vec<_>>());
        sent.query_async(&mut connection).await
    }

    /// Makes it a master.
    pub async fn promote(&self) {
        self.tell("REPLICAOF NO ONE").await.expect("it obeys");
    }

    /// Makes it a replica of the server at a port, and waits until it has the data of it.
    pub async fn follow(&self, master: u16) {
        let command = format!("REPLICAOF 127.0.0.1 {master}");
        self.tell(&command).await.expect("it obeys");
        eventually_eq(
            "it is a replica in sync",
            Some("up".to_owned()),
            async || self.replication("master_link_status").await,
        )
        .await;
    }

    /// Waits until it has received everything that `master` has sent.
    pub async fn catch_up(&self, master: &Self) {
        eventually("it has caught up", async || {
            let near = self.replication("slave_repl_offset").await;
            let far = master.replication("master_repl_offset").await;
            if near.is_some() && near == far {
                Ok(())
            } else {
                Err((near, far))
            }
        })
        .await;
    }

    /// A field of `INFO replication`.
    pub async fn replication(&self, name: &str) -> Option<String> {
        let info = match self.tell("INFO replication").await {
            Ok(Value::BulkString(bytes)) => String::from_utf8(bytes).ok()?,
            Ok(Value::VerbatimString { text, .. }) => text,
            _ => return None,
        };
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        let field = fields.find(|(field, _)| *field == name);
        field.map(|(_, value)| value.trim_end().to_owned())
    }
}

impl Drop for DedicatedRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Redis Sentinel that decides alone. It is killed when dropped.
pub struct Sentinel {
    child: Child,
    port: u16,
}

impl Sentinel {
    /// Starts a Sentinel that watches the master at a port, and its replicas.
    pub async fn start(folder: &Path, master: u16) -> Self {
        let port = free_port();
        let file = folder.join(format!("sentinel-{port}.conf"));
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor confab 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds confab 1000\nsentinel failover-timeout confab 3000\n",
            folder.display()
        );
        fs::write(&file, settings).expect("the test's folder takes files");
        let child = Command::new("redis-server")
            .arg(file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let sentinel = Self { child, port };
        listens(port).await;
        answers(&format!("redis://127.0.0.1:{port}")).await;
        sentinel
    }

    /// The port of the current master.
    pub async fn master(&self) -> Option<u16> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut get = redis::cmd("SENTINEL");
        get.arg("GET-MASTER-ADDR-BY-NAME").arg("confab");
        let address: Vec<String> = get.query_async(&mut connection).await.ok()?;
        address.get(1)?.parse().ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn listens(port: u16) {
    eventually("Redis listens", async || {
        TcpStream::connect(("127.0.0.1", port)).await.map(drop)
    })
    .await;
}

/// Waits until the server has loaded its data.
async fn answers(url: &str) {
    let client = redis::Client::open(url).expect("a URL");
    eventually("Redis answers", async || {
        let mut connection = client.get_multiplexed_async_connection().await?;
        let pong = redis::cmd("PING").query_async::<()>(&mut connection).await;
        match pong {
            Err(error) if error.code() == Some("NOAUTH") => Ok(()),
            pong => pong,
        }
    })
    .await;
}
