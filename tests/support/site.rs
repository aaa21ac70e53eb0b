//! What one test owns.

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

use super::{Chat, Servers, Services, settles};

/// How long one test may take. A test that hangs fails, and cleans up after itself.
const LIMIT: Duration = Duration::from_secs(600);

/// What stands behind the traits of `stores`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// One SQLite file.
    Embedded,
    /// MySQL, Redis and Elasticsearch.
    Services,
}

/// Where a test's stores are.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a folder of the test's own.
    Embedded,
    /// On these servers.
    Services(Servers),
}

/// Stores of its own for one test, so that tests run side by side.
pub struct Site {
    /// `None` on the embedded backing.
    services: Option<Services>,
    folder: TempDir,
}

/// Runs a test on a site of its own, and removes the site afterwards, however the test ends.
pub fn run(backing: Backing, test: impl AsyncFnOnce(&Site)) {
    let place = match backing {
        Backing::Embedded => Place::Embedded,
        Backing::Services => Place::Services(Servers::shared()),
    };
    run_at(place, LIMIT, test);
}

/// As [`run`], on stores that need not be those that all tests share, and within a time of the test's own.
pub fn run_at(place: Place, limit: Duration, test: impl AsyncFnOnce(&Site)) {
    // The test itself runs on its own thread, so that what it prints is shown with it. Migrations want a second one.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let site = runtime.block_on(Site::make(place));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let in_time = tokio::time::timeout(limit, test(&site)).await;
            assert!(in_time.is_ok(), "the test is not over after {limit:?}");
        });
    }));
    let removed = runtime.block_on(site.remove());
    if let Err(panic) = outcome {
        println!("cleaning up: {removed:?}");
        resume_unwind(panic);
    }
    removed.expect("what the test made can be removed");
}

impl Site {
    async fn make(place: Place) -> Self {
        let name = format!(
            "confab_test_{}_{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        Self {
            services: match place {
                Place::Embedded => None,
                Place::Services(servers) => Some(Services::make(&name, servers).await),
            },
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        }
    }

    async fn remove(self) -> Result<(), String> {
        match &self.services {
            None => Ok(()),
            Some(services) => services.remove().await,
        }
    }

    /// How many processes may run side by side on it, as far as the tests go.
    pub fn processes(&self) -> usize {
        match self.services {
            None => 1,
            Some(_) => 2,
        }
    }

    /// What stands behind it.
    pub fn backing(&self) -> Backing {
        match self.services {
            None => Backing::Embedded,
            Some(_) => Backing::Services,
        }
    }

    /// The services behind it.
    pub fn services(&self) -> &Services {
        self.services.as_ref().expect("a site on the services")
    }

    /// The file of the embedded backing.
    pub fn file(&self) -> PathBuf {
        self.folder().join("data").join("confab.sqlite3")
    }

    /// A connection to it, beside the program's.
    fn sqlite(&self) -> SqliteConnection {
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

    /// What tells the program where its stores are, as environment variables.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        match &self.services {
            None => vec![
                ("CONFAB_BACKING", "embedded".into()),
                ("CONFAB_EMBEDDED__PATH", self.file().display().to_string()),
            ],
            Some(services) => services.settings(),
        }
    }

    /// Changes the stored rows behind the program's back.
    pub async fn execute(&self, sql: &str) -> usize {
        let query = diesel::sql_query(sql);
        let done = match &self.services {
            None => diesel::RunQueryDsl::execute(query, &mut self.sqlite()),
            Some(services) => query.execute(&mut services.mysql().await).await,
        };
        done.expect("the statement is valid")
    }

    /// A stored number: of an SQL expression.
    pub async fn stored_number(&self, expression: &str) -> Option<i64> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Nullable<BigInt>)]
            number: Option<i64>,
        }
        let rows: Vec<Row> = self.rows(&format!("SELECT ({expression}) AS number")).await;
        rows.into_iter().next().and_then(|row| row.number)
    }

    /// Waits until no rebuild of the index is under way. The first index is filled by one too, while it is in use already: a
    /// process that ends meanwhile leaves it to be gone on with.
    pub async fn no_rebuild_is_unfinished(&self) {
        settles("no rebuild is unfinished", Some(0), async || {
            self.stored_number("SELECT COUNT(*) FROM index_build").await
        })
        .await;
    }

    /// The messages of a chat as they are stored, by number.
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
                "SELECT number, text FROM messages WHERE app = '{}' AND chat = {} ORDER BY number",
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

    /// What a query of the stored rows gives.
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
