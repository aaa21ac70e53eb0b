//! The fixture of a test: stores and a folder of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use diesel::{
    Connection as _, QueryableByName, SqliteConnection,
    connection::SimpleConnection as _,
    mysql::Mysql,
    sql_types::{BigInt, Nullable, Text},
    sqlite::Sqlite,
};
use diesel_async::RunQueryDsl as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Chat, Servers, Services, eventually_eq};

/// Timeout of a test. A test that hangs fails and is cleaned up.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(600);

/// The kinds of storage backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// One SQLite file.
    Embedded,
    /// MySQL, Redis and Elasticsearch.
    Services,
}

impl BackendKind {
    /// The servers that all tests of the backend share.
    pub(super) fn location(self) -> StoreLocation {
        match self {
            Self::Embedded => StoreLocation::Embedded,
            Self::Services => StoreLocation::Services(Servers::shared()),
        }
    }
}

/// The servers that hold a test's stores.
#[derive(Debug, Clone)]
pub enum StoreLocation {
    /// None: a file in the test's folder.
    Embedded,
    /// These servers.
    Services(Servers),
}

/// Stores of one test. Tests can run concurrently.
pub struct Fixture {
    /// `None` on the embedded backend.
    services: Option<Services>,
    folder: TempDir,
}

/// Runs a test with a new fixture, and removes the fixture afterwards, also if the test fails.
pub fn run(backend: BackendKind, test: impl AsyncFnOnce(&Fixture)) {
    run_at(backend.location(), TEST_TIMEOUT, test);
}

/// Like [`run`], on given servers and with a given timeout.
pub fn run_at(location: StoreLocation, limit: Duration, test: impl AsyncFnOnce(&Fixture)) {
    let runtime = new_runtime();
    let fixture = runtime.block_on(Fixture::make(location));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let in_time = tokio::time::timeout(limit, test(&fixture)).await;
            assert!(in_time.is_ok(), "the test did not finish within {limit:?}");
        });
    }));
    let removed = runtime.block_on(fixture.remove());
    if let Err(panic) = outcome {
        println!("cleaning up: {removed:?}");
        resume_unwind(panic);
    }
    removed.expect("the fixture can be removed");
}

/// Builds a runtime. `block_on` runs the test on the calling thread, so that its output is captured; migrations need a
/// second thread.
pub(super) fn new_runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

impl Fixture {
    pub(super) async fn make(location: StoreLocation) -> Self {
        let name = format!(
            "confab_test_{}_{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        Self {
            services: match location {
                StoreLocation::Embedded => None,
                StoreLocation::Services(servers) => Some(Services::make(&name, servers).await),
            },
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        }
    }

    pub(super) async fn remove(self) -> Result<(), String> {
        match &self.services {
            None => Ok(()),
            Some(services) => services.remove().await,
        }
    }

    /// The number of processes that tests run concurrently on it.
    pub fn process_count(&self) -> usize {
        match self.services {
            None => 1,
            Some(_) => 2,
        }
    }

    /// The kind of its backend.
    pub fn backend_kind(&self) -> BackendKind {
        match self.services {
            None => BackendKind::Embedded,
            Some(_) => BackendKind::Services,
        }
    }

    /// The services of the fixture; panics on the embedded backend.
    pub fn services(&self) -> &Services {
        self.services.as_ref().expect("a fixture on the services")
    }

    /// The file of the embedded backend.
    pub fn file(&self) -> PathBuf {
        self.folder().join("data").join("confab.sqlite3")
    }

    /// A connection to the file, separate from the program's.
    pub fn sqlite(&self) -> SqliteConnection {
        let file = self.file();
        let mut connection = SqliteConnection::establish(file.to_str().expect("a path in UTF-8"))
            .expect("the file can be opened");
        connection
            .batch_execute("PRAGMA busy_timeout = 5000")
            .expect("a setting");
        connection
    }

    /// A folder for the test's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment variables that configure the program for these stores.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match &self.services {
            None => vec![
                ("CONFAB_BACKING", "embedded".into()),
                ("CONFAB_EMBEDDED__PATH", self.file().display().to_string()),
            ],
            Some(services) => services.settings(),
        }
    }

    /// Changes stored rows without the program.
    pub async fn execute(&self, sql: &str) -> usize {
        let query = diesel::sql_query(sql);
        let done = match &self.services {
            None => diesel::RunQueryDsl::execute(query, &mut self.sqlite()),
            Some(services) => query.execute(&mut services.mysql().await).await,
        };
        done.expect("the statement is valid")
    }

    /// Makes a trigger of the database refuse, at an `INSERT` or `UPDATE` of a message, texts that fulfil a condition, such as
    /// `= 'poison'`. The error has this text.
    pub async fn refuse_texts(&self, event: &str, condition: &str, error: &str) {
        let trigger = format!("refuse_{:016x}", rand::random::<u64>());
        let statement = match &self.services {
            Some(_) => format!(
                "CREATE TRIGGER {trigger} BEFORE {event} ON messages FOR EACH ROW IF NEW.text {condition} THEN \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{error}'; END IF"
            ),
            None => format!(
                "CREATE TRIGGER {trigger} BEFORE {event} ON messages WHEN NEW.text {condition} \
                 BEGIN SELECT RAISE(ABORT, '{error}'); END"
            ),
        };
        self.execute_unprepared(&statement).await;
    }

    /// Runs a statement that cannot be prepared, such as the creation of a trigger.
    pub async fn execute_unprepared(&self, sql: &str) {
        let done = match &self.services {
            None => self.sqlite().batch_execute(sql),
            Some(services) => {
                let mut connection = services.mysql().await;
                diesel_async::SimpleAsyncConnection::batch_execute(&mut connection, sql).await
            }
        };
        done.expect("the statement is valid");
    }

    /// Adds milliseconds to the creation times of all rows of a table.
    pub async fn move_times(&self, table: &str, millis: i64) {
        self.execute(&match self.backend_kind() {
            BackendKind::Services => format!(
                "UPDATE {table} SET created_at = created_at + INTERVAL {millis} * 1000 MICROSECOND"
            ),
            BackendKind::Embedded => {
                format!("UPDATE {table} SET created_at = created_at + {millis}")
            }
        })
        .await;
    }

    /// Evaluates an SQL expression that is a number.
    pub async fn stored_number(&self, expression: &str) -> Option<i64> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Nullable<BigInt>)]
            number: Option<i64>,
        }
        let rows: Vec<Row> = self.rows(&format!("SELECT ({expression}) AS number")).await;
        rows.into_iter().next().and_then(|row| row.number)
    }

    /// Waits until no rebuild of the index is unfinished. The first index is also filled by a rebuild, while it is
    /// already in use; if the process ends during it, the next one resumes it.
    pub async fn no_rebuild_is_unfinished(&self) {
        eventually_eq("no rebuild is unfinished", Some(0), async || {
            self.stored_number("SELECT COUNT(*) FROM index_build").await
        })
        .await;
    }

    /// The stored messages of a chat that are not deleted, by number.
    pub async fn stored_messages(&self, chat: &Chat) -> Vec<(u64, String)> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            number: i64,
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows: Vec<Row> = self
            .rows(&format!(
                "SELECT number, text FROM messages \
                 WHERE app = '{}' AND chat = {} AND deleted_at IS NULL ORDER BY number",
                chat.app, chat.number
            ))
            .await;
        rows.into_iter()
            .map(|row| {
                let number = row.number.try_into().expect("numbers are positive");
                (number, row.text)
            })
            .collect()
    }

    /// Runs a query of the stored rows.
    pub async fn rows<R>(&self, sql: &str) -> Vec<R>
    where
        R: QueryableByName<Mysql> + QueryableByName<Sqlite> + Send + 'static,
    {
        let query = diesel::sql_query(sql);
        let rows = match &self.services {
            None => diesel::RunQueryDsl::load(query, &mut self.sqlite()),
            Some(services) => query.load(&mut services.mysql().await).await,
        };
        rows.expect("the statement is valid")
    }
}
