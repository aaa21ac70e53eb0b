//! A backend to measure: emptying it, filling it, and inspecting it without the program.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use deadpool_redis::redis::{self, aio::MultiplexedConnection};
use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query,
    sql_types::BigInt,
};
use mysql_async::{Conn, prelude::Queryable};

use crate::{
    client::{self, LoadModel},
    confab::{self, Process, Settings},
    folder,
    requests::Chat,
    stores::{NAME, Stores},
    texts,
};

/// The kinds of storage backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// MySQL, Redis and Elasticsearch.
    Services,
    /// One SQLite file.
    Embedded,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Services => "services",
            Self::Embedded => "embedded",
        })
    }
}

/// Both backends.
pub const BACKENDS: [BackendKind; 2] = [BackendKind::Services, BackendKind::Embedded];

/// The number of connections that fill a store.
const FILLERS: usize = 64;

/// Timeout of draining.
const DRAINED: Duration = Duration::from_secs(900);

/// The benchmark's part of one backend.
#[derive(Clone)]
pub struct Fixture {
    /// The kind of backend.
    pub backend: BackendKind,
    /// The services, also when the embedded backend is measured.
    pub stores: Stores,
    processes: Vec<(String, u32)>,
}

/// Inspects the stores on connections of its own.
pub struct Inspector {
    connections: Connections,
}

enum Connections {
    Services {
        stores: Stores,
        mysql: Box<Conn>,
        redis: MultiplexedConnection,
    },
    Embedded(SqliteConnection),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Fixture {
    pub fn new(backend: BackendKind, stores: &Stores) -> Self {
        let processes = match backend {
            BackendKind::Services => stores.processes(),
            BackendKind::Embedded => Vec::new(),
        };
        Self {
            backend,
            stores: stores.clone(),
            processes,
        }
    }

    /// The file of the embedded backend. It is below the build folder, because `/tmp` may be memory.
    pub fn file(&self) -> PathBuf {
        folder().join("data").join("confab.sqlite3")
    }

    /// The environment variables that configure the program.
    pub fn settings(&self, more: &[(&'static str, &str)]) -> Settings {
        let mut settings = match self.backend {
            BackendKind::Services => self.stores.settings(),
            BackendKind::Embedded => vec![
                ("CONFAB_BACKING", "embedded".into()),
                ("CONFAB_EMBEDDED__PATH", self.file().display().to_string()),
            ],
        };
        settings.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        settings
    }

    /// Starts the program on empty stores.
    pub async fn serve_empty(&self, more: &[(&'static str, &str)]) -> Result<Process> {
        self.wipe().await?;
        self.serve(more).await
    }

    /// Starts the program on the existing data.
    pub async fn serve(&self, more: &[(&'static str, &str)]) -> Result<Process> {
        confab::serve(&self.settings(more)).await
    }

    /// Removes all data.
    pub async fn wipe(&self) -> Result<()> {
        match self.backend {
            BackendKind::Services => self.stores.wipe().await,
            BackendKind::Embedded => {
                std::fs::remove_dir_all(folder().join("data")).ok();
                Ok(())
            }
        }
    }

    /// The program and its stores, as processes to monitor.
    pub fn monitored(&self, processes: &[&Process]) -> Vec<(String, u32)> {
        let confab = processes
            .iter()
            .map(|process| ("confab".to_owned(), process.id()));
        confab.chain(self.processes.clone()).collect()
    }

    /// Pauses storing new messages; they are still accepted.
    pub fn pause(&self) -> Result<()> {
        confab::run(&self.settings(&[]), &["jobs", "pause", "create_message"])
    }

    /// Resumes storing.
    pub fn resume(&self) -> Result<()> {
        confab::run(&self.settings(&[]), &["jobs", "resume", "create_message"])
    }

    /// Opens the connections of an inspector. The program must have been started before.
    pub async fn inspector(&self) -> Result<Inspector> {
        let connections = match self.backend {
            BackendKind::Services => Connections::Services {
                stores: self.stores.clone(),
                mysql: Box::new(self.stores.mysql().await?),
                redis: self.stores.redis().await?,
            },
            BackendKind::Embedded => {
                let mut file = SqliteConnection::establish(&self.file().display().to_string())?;
                sql_query("PRAGMA busy_timeout = 5000").execute(&mut file)?;
                Connections::Embedded(file)
            }
        };
        Ok(Inspector { connections })
    }

    /// Fills a chat with messages, ten of which contain the rare word. Returns the seconds it took.
    pub async fn fill(&self, process: &Process, chat: &Chat, messages: u64) -> Result<f64> {
        let chat = chat.clone();
        let spec = move |n| chat.create(&texts::of_many(n, messages));
        let filled =
            client::drive(&[process.port], FILLERS, messages, LoadModel::Closed, spec).await?;
        Ok(filled.seconds)
    }
}

impl Inspector {
    /// The number of accepted writes that are not stored.
    pub async fn jobs(&mut self) -> Result<u64> {
        match &mut self.connections {
            Connections::Services { redis, .. } => {
                let jobs = redis::cmd("HLEN")
                    .arg(format!("{NAME}:jobs"))
                    .query_async(redis)
                    .await?;
                Ok(jobs)
            }
            Connections::Embedded(file) => count(
                file,
                "SELECT COALESCE(SUM(jobs), 0) AS number FROM job_counts",
            ),
        }
    }

    /// The number of stored messages.
    pub async fn rows(&mut self) -> Result<u64> {
        match &mut self.connections {
            Connections::Services { mysql, .. } => {
                let rows = mysql.query_first("SELECT COUNT(*) FROM messages").await?;
                rows.context("a count")
            }
            Connections::Embedded(file) => count(file, "SELECT COUNT(*) AS number FROM messages"),
        }
    }

    /// The number of searchable messages.
    pub async fn documents(&mut self) -> Result<u64> {
        match &mut self.connections {
            Connections::Services { stores, .. } => stores.documents().await,
            // Messages are indexed in the transaction that stores them.
            Connections::Embedded(file) => count(file, "SELECT COUNT(*) AS number FROM words_1"),
        }
    }

    /// Search index lag: age in seconds of the oldest message that is not indexed.
    pub async fn index_lag(&mut self) -> Result<f64> {
        let Connections::Services { mysql, .. } = &mut self.connections else {
            return Ok(0.0);
        };
        let oldest: Option<String> = mysql
            .query_first(
                "SELECT SUBSTRING_INDEX(message_keys, ' ', 1) FROM outbox ORDER BY id LIMIT 1",
            )
            .await?;
        let Some(key) = oldest else {
            return Ok(0.0);
        };
        let mut parts = key.split(':');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let key = (part(), part(), part());
        let age: Option<f64> = mysql
            .exec_first(
                "SELECT TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(3)) / 1e6 FROM messages \
                 WHERE app = ? AND chat = ? AND number = ?",
                key,
            )
            .await?;
        Ok(age.unwrap_or_default())
    }

    /// Tells whether all stored messages are indexed.
    async fn is_indexed(&mut self) -> Result<bool> {
        match &mut self.connections {
            Connections::Services { mysql, .. } => {
                let first: Option<u64> = mysql.query_first("SELECT id FROM outbox LIMIT 1").await?;
                Ok(first.is_none())
            }
            Connections::Embedded(_) => Ok(true),
        }
    }

    /// Waits until at most `most` jobs are left. Polling is cheap, so the interval is short.
    pub async fn wait_for_jobs(&mut self, most: u64) -> Result<u64> {
        let begin = Instant::now();
        loop {
            let jobs = self.jobs().await?;
            if jobs <= most {
                return Ok(jobs);
            }
            ensure!(
                begin.elapsed() < DRAINED,
                "{jobs} jobs are still there after {DRAINED:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all stored messages are searchable.
    pub async fn wait_until_indexed(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !self.is_indexed().await? {
            ensure!(
                begin.elapsed() < DRAINED,
                "the index is still behind after {DRAINED:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (rows, documents) = (self.rows().await?, self.documents().await?);
        ensure!(
            rows == documents,
            "{rows} messages are stored, {documents} are in the index"
        );
        Ok(())
    }
}

fn count(file: &mut SqliteConnection, sql: &str) -> Result<u64> {
    let Number { number } = sql_query(sql).get_result(file)?;
    Ok(u64::try_from(number)?)
}
