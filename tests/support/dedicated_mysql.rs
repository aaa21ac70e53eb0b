//! A MySQL server for one test, for tests of its TLS and of its socket.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};

use super::{Fixture, eventually, free_port};

/// A MySQL server with an empty database `confab`, which is killed when dropped.
pub struct DedicatedMysql {
    child: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Path of its Unix socket.
    pub socket: PathBuf,
}

impl DedicatedMysql {
    /// Starts the server with these options in the test's folder, and waits until it answers.
    pub async fn start(fixture: &Fixture, options: &[&str]) -> Self {
        let port = free_port();
        let folder = fixture.folder().join("mysql");
        let log = File::create(fixture.folder().join("mysql.log")).expect("a file");
        let small = "--performance-schema=OFF --innodb-buffer-pool-size=64M --skip-log-bin";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stores/mysql");
        let child = Command::new(script)
            .args(["run", &port.to_string()])
            .arg(&folder)
            .env("MYSQL_EXTRA", format!("{small} {}", options.join(" ")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A process group, so that a server that still initialises is killed too.
            .process_group(0)
            .spawn()
            .expect("the script can be started");
        let mysql = Self {
            child,
            port,
            socket: folder.join("mysql.sock"),
        };
        eventually("MySQL answers", async || {
            let connected = AsyncMysqlConnection::establish(&mysql.administrator()).await;
            connected.map(drop).map_err(|error| {
                let log = std::fs::read_to_string(fixture.folder().join("mysql.log"));
                format!("{error}; {}", log.unwrap_or_default())
            })
        })
        .await;
        mysql.execute("CREATE DATABASE confab").await;
        mysql
    }

    /// URL of the administrator, through the socket.
    fn administrator(&self) -> String {
        format!("mysql://root@localhost/?socket={}", self.socket.display())
    }

    /// Runs a statement as the administrator.
    pub async fn execute(&self, sql: &str) {
        let mut connection = AsyncMysqlConnection::establish(&self.administrator())
            .await
            .expect("MySQL answers");
        let query = diesel::sql_query(sql);
        let done = diesel_async::RunQueryDsl::execute(query, &mut connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

impl Drop for DedicatedMysql {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status()
            .ok();
        self.child.wait().ok();
    }
}
