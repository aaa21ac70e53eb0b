//! A backing to measure on: emptying it, filling it, and looking how far it has come, past the program.

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
    client::{self, Pace},
    confab::{self, Process, Settings},
    folder,
    requests::Chat,
    stores::{NAME, Stores},
    texts,
};

/// Which stores are under the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// MySQL, Redis and Elasticsearch.
    Services,
    /// One SQLite file.
    Embedded,
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Services => "services",
            Self::Embedded => "embedded",
        })
    }
}

/// Both.
pub const BACKINGS: [Backing; 2] = [Backing::Services, Backing::Embedded];

/// Connections that fill a store.
const FILLERS: usize = 64;

/// How long to wait for what is being drained to be gone; only a program that stands still takes longer.
const DRAINED: Duration = Duration::from_secs(900);

/// The benchmark's share of one backing.
#[derive(Clone)]
pub struct Ground {
    /// Which.
    pub backing: Backing,
    /// The services; also there when they are not measured.
    pub stores: Stores,
    processes: Vec<(String, u32)>,
}

/// Looks at what is stored, on connections of its own.
pub struct Eyes {
    of: Of,
}

enum Of {
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

impl Ground {
    pub fn new(backing: Backing, stores: &Stores) -> Self {
        let processes = match backing {
            Backing::Services => stores.processes(),
            Backing::Embedded => Vec::new(),
        };
        Self {
            backing,
            stores: stores.clone(),
            processes,
        }
    }

    /// The file, on the embedded backing. It lies beside the build, as `/tmp` may be memory.
    pub fn file(&self) -> PathBuf {
        folder().join("data").join("confab.sqlite3")
    }

    /// What the program is told.
    pub fn settings(&self, more: &[(&'static str, &str)]) -> Settings {
        let mut settings = match self.backing {
            Backing::Services => self.stores.settings(),
            Backing::Embedded => vec![
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

    /// Starts the program on nothing.
    pub async fn serve_empty(&self, more: &[(&'static str, &str)]) -> Result<Process> {
        self.wipe().await?;
        self.serve(more).await
    }

    /// Starts the program on what there is.
    pub async fn serve(&self, more: &[(&'static str, &str)]) -> Result<Process> {
        confab::serve(&self.settings(more)).await
    }

    /// Removes all data.
    pub async fn wipe(&self) -> Result<()> {
        match self.backing {
            Backing::Services => self.stores.wipe().await,
            Backing::Embedded => {
                std::fs::remove_dir_all(folder().join("data")).ok();
                Ok(())
            }
        }
    }

    /// The program and its stores, to be watched.
    pub fn watched(&self, processes: &[&Process]) -> Vec<(String, u32)> {
        let confab = processes
            .iter()
            .map(|process| ("confab".to_owned(), process.id()));
        confab.chain(self.processes.clone()).collect()
    }

    /// Stops the storing of new messages; they are accepted all the same.
    pub fn pause(&self) -> Result<()> {
        confab::run(&self.settings(&[]), &["jobs", "pause", "create_message"])
    }

    /// Ends it.
    pub fn resume(&self) -> Result<()> {
        confab::run(&self.settings(&[]), &["jobs", "resume", "create_message"])
    }

    /// Connections to look with. The program must have been started before.
    pub async fn eyes(&self) -> Result<Eyes> {
        let of = match self.backing {
            Backing::Services => Of::Services {
                stores: self.stores.clone(),
                mysql: Box::new(self.stores.mysql().await?),
                redis: self.stores.redis().await?,
            },
            Backing::Embedded => {
                let mut file = SqliteConnection::establish(&self.file().display().to_string())?;
                sql_query("PRAGMA busy_timeout = 5000").execute(&mut file)?;
                Of::Embedded(file)
            }
        };
        Ok(Eyes { of })
    }

    /// Fills a chat with messages, of which ten hold the rare word. Tells how long it took.
    pub async fn fill(&self, process: &Process, chat: &Chat, messages: u64) -> Result<f64> {
        let chat = chat.clone();
        let ask = move |n| chat.create(&texts::of_many(n, messages));
        let filled = client::drive(&[process.port], FILLERS, messages, Pace::Closed, ask).await?;
        Ok(filled.seconds)
    }
}

impl Eyes {
    /// Accepted writes that are not stored.
    pub async fn jobs(&mut self) -> Result<u64> {
        match &mut self.of {
            Of::Services { redis, .. } => {
                let jobs = redis::cmd("HLEN")
                    .arg(format!("{NAME}:jobs"))
                    .query_async(redis)
                    .await?;
                Ok(jobs)
            }
            Of::Embedded(file) => count(
                file,
                "SELECT COALESCE(SUM(jobs), 0) AS number FROM job_counts",
            ),
        }
    }

    /// Messages that are stored.
    pub async fn rows(&mut self) -> Result<u64> {
        match &mut self.of {
            Of::Services { mysql, .. } => {
                let rows = mysql.query_first("SELECT COUNT(*) FROM messages").await?;
                rows.context("a count")
            }
            Of::Embedded(file) => count(file, "SELECT COUNT(*) AS number FROM messages"),
        }
    }

    /// Messages that a search could find.
    pub async fn documents(&mut self) -> Result<u64> {
        match &mut self.of {
            Of::Services { stores, .. } => stores.documents().await,
            // They are indexed in the transaction that stores them.
            Of::Embedded(file) => count(file, "SELECT COUNT(*) AS number FROM words_1"),
        }
    }

    /// How old the oldest message is, in seconds, that is stored and that the index has not been told of.
    pub async fn index_lag(&mut self) -> Result<f64> {
        let Of::Services { mysql, .. } = &mut self.of else {
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

    /// Whether the index has been told of all that is stored.
    async fn is_indexed(&mut self) -> Result<bool> {
        match &mut self.of {
            Of::Services { mysql, .. } => {
                let first: Option<u64> = mysql.query_first("SELECT id FROM outbox LIMIT 1").await?;
                Ok(first.is_none())
            }
            Of::Embedded(_) => Ok(true),
        }
    }

    /// Waits until no more jobs are there than so many. Looking is cheap, so it looks often.
    pub async fn until_jobs(&mut self, most: u64) -> Result<u64> {
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

    /// Waits until all that is stored can be found.
    pub async fn until_found(&mut self) -> Result<()> {
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
