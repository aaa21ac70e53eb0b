//! Connections to MySQL, their time limits, and what its errors mean.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deadpool::{Runtime, managed::TimeoutType};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, SimpleAsyncConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Hook, HookError, Object, Pool as DeadPool, PoolError},
    },
};
use futures_util::FutureExt;
use url::Url;

use crate::stores::{Error, Result, call::Call, circuit_breaker::CircuitBreaker};

/// What the errors of this store are told by.
const STORE: &str = "MySQL";

/// A checked-out connection.
pub type Connection = Object<AsyncMysqlConnection>;

/// What every session is set to. Row locks are held for what a statement touches, not for the gaps between, so that
/// batches of several processes do not wait for each other; errors come in the language that [`classify`] reads.
const SESSION: &str = "SET SESSION transaction_isolation = 'READ-COMMITTED', lc_messages = 'en_US', \
                       sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO', \
                       innodb_lock_wait_timeout = 2";

/// What a session of the pool is set to besides: a process that stands still, or whose host lost power, in the middle of
/// a transaction keeps its locks no longer than this, in seconds.
const IDLE_TIMEOUT: u64 = 30;

/// When a connection that nobody used is no longer trusted to be there.
const MAX_IDLE: Duration = Duration::from_secs(IDLE_TIMEOUT / 2);

/// A bounded pool whose every wait is bounded.
pub struct Pool {
    connections: DeadPool<AsyncMysqlConnection>,
    url: String,
    /// How long a call may take.
    pub timeout: Duration,
    breaker: CircuitBreaker,
    /// When a connection last broke or was left without an answer: what was made before is not used again. A server that
    /// went away took all of them with it, and one that still owes an answer would give it to the wrong question.
    last_broken: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// Prepares the pool; MySQL is reached when first needed.
    pub fn new(url: &Url, size: usize, timeout: Duration) -> Result<Self> {
        let mut url = url.clone();
        if !url.query_pairs().any(|(name, _)| name == "prefer_socket") {
            // Else the client asks a server on this host for its Unix socket, and goes on with whoever listens there.
            url.query_pairs_mut().append_pair("prefer_socket", "false");
        }
        let last_broken: Arc<Mutex<Option<Instant>>> = Arc::default();
        let mut manager = ManagerConfig::default();
        manager.custom_setup = Box::new(|url| establish_for_pool(url).boxed());
        // A ping at every check-out would double the time of a read: `last_broken` and `Pool::read` do instead.
        manager.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config(url.as_str(), manager);
        let connections = DeadPool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(timeout))
            .create_timeout(Some(timeout))
            .recycle_timeout(Some(timeout))
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::sync_fn({
                let last_broken = last_broken.clone();
                move |_, metrics| match *lock(&last_broken) {
                    Some(at) if metrics.created <= at => Err(HookError::message("it may be dead")),
                    _ if metrics.last_used() > MAX_IDLE => Err(HookError::message("long unused")),
                    _ => Ok(()),
                }
            }))
            .build()
            .map_err(|error| unavailable(&error))?;
        Ok(Self {
            connections,
            url: url.to_string(),
            timeout,
            breaker: CircuitBreaker::new(STORE, timeout),
            last_broken,
        })
    }

    /// A connection from the pool.
    pub async fn get(&self) -> Result<Connection> {
        self.breaker.check()?;
        let connection = self.connections.get().await;
        if let Err(PoolError::Timeout(TimeoutType::Create)) = &connection {
            self.breaker.trip();
        }
        connection.map_err(|error| unavailable(&error))
    }

    /// Guard of a transaction; to be made before the connection that it runs on is taken.
    pub fn transaction(&self) -> TransactionGuard<'_> {
        TransactionGuard {
            pool: self,
            finished: false,
        }
    }

    /// A connection outside the pool, for what lives as long as its connection.
    pub async fn dedicated(&self) -> Result<AsyncMysqlConnection> {
        let connection = self.breaker.call(establish(&self.url)).await?;
        connection.map_err(|error| unavailable(&error))
    }

    /// Waits for an answer no longer than the pool's timeout, and reads the error if it is one.
    pub async fn in_time<T>(
        &self,
        query: impl Future<Output = std::result::Result<T, DieselError>>,
    ) -> Result<T> {
        self.within(self.timeout, query).await
    }

    /// The same with a time of the caller's own.
    pub async fn within<T>(
        &self,
        time: Duration,
        query: impl Future<Output = std::result::Result<T, DieselError>>,
    ) -> Result<T> {
        let mut call = CallGuard {
            pool: self,
            answered: false,
        };
        let outcome = self.breaker.call_within(time, pin!(query)).await?;
        let outcome = outcome.map_err(|error| classify(&error));
        call.answered = !outcome.as_ref().is_err_and(is_connection_error);
        outcome
    }

    /// Makes a call that changes nothing, and makes it once more if it met a connection that had died in the pool.
    pub async fn read<T, F>(&self, call: &Call, read: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let began = Instant::now();
        let mut outcome = Err(unavailable(&"not read"));
        for _ in 0..2 {
            outcome = read().await;
            if !outcome.as_ref().is_err_and(is_connection_error) {
                break;
            }
        }
        call.record(began, &outcome);
        outcome
    }
}

/// Sees to a connection whose call was not answered: because it took too long, because the connection died, or because
/// nobody waits any more, as with the request of a client that has gone. Its next borrower would read what it still owes
/// for the answer to his own question.
struct CallGuard<'a> {
    pool: &'a Pool,
    answered: bool,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if !self.answered {
            *lock(&self.pool.last_broken) = Some(Instant::now());
        }
    }
}

/// Sees to a transaction that is given up half way, by a timeout or because its future is dropped: the connection would
/// lie in the pool with it, and keep its locks, until somebody happened to borrow it. Made before the connection is
/// taken, this is dropped after the connection went back.
pub struct TransactionGuard<'a> {
    pool: &'a Pool,
    finished: bool,
}

impl TransactionGuard<'_> {
    /// Passes on what a transaction came to; only an outage may leave it open.
    pub fn finish<T>(mut self, outcome: Result<T>) -> Result<T> {
        self.finished = !matches!(outcome, Err(Error::Unavailable { .. }));
        outcome
    }
}

impl Drop for TransactionGuard<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let now = Instant::now();
            *lock(&self.pool.last_broken) = Some(now);
            self.pool
                .connections
                .retain(|_, metrics| metrics.created > now);
        }
    }
}

/// Nothing is left half done under this lock, so it is as good after a panic as before.
fn lock(last_broken: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    last_broken.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn establish(url: &str) -> diesel::ConnectionResult<AsyncMysqlConnection> {
    let mut connection = AsyncMysqlConnection::establish(url).await?;
    connection
        .batch_execute(SESSION)
        .await
        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

async fn establish_for_pool(url: &str) -> diesel::ConnectionResult<AsyncMysqlConnection> {
    let mut connection = establish(url).await?;
    connection
        .batch_execute(&format!("SET SESSION wait_timeout = {IDLE_TIMEOUT}"))
        .await
        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// How `mysql_async` begins what it says of its own and of the network, as opposed to what the server said.
const CONNECTION_ERRORS: [&str; 2] = ["Input/output error", "Driver error"];

/// Whether the error says that the connection is dead.
fn is_connection_error(error: &Error) -> bool {
    matches!(error, Error::Unavailable { detail, .. } if CONNECTION_ERRORS.iter().any(|d| detail.starts_with(d)))
}

/// How MySQL begins its objections to data (the server's errmsg-utf8.txt). diesel-async passes on the text only, not the
/// number. What is not known as such is taken for an outage: that costs a wait, never a job.
const DATA_ERRORS: [&str; 8] = [
    "Data too long for column",
    "Incorrect string value",
    "Incorrect datetime value",
    "Incorrect integer value",
    "Out of range value",
    "Data truncated for column",
    "Got a packet bigger than 'max_allowed_packet'",
    "Invalid utf8mb4 character string",
];

/// What an error of diesel means for the batch that met it.
pub fn classify(error: &DieselError) -> Error {
    let detail = error.to_string();
    match error {
        DieselError::DatabaseError(
            DatabaseErrorKind::NotNullViolation | DatabaseErrorKind::CheckViolation,
            _,
        )
        | DieselError::SerializationError(_) => rejected(detail),
        DieselError::DatabaseError(..) if DATA_ERRORS.iter().any(|o| detail.starts_with(o)) => {
            rejected(detail)
        }
        DieselError::DeserializationError(_) => Error::Failed {
            store: STORE,
            detail,
        },
        _ => unavailable(&detail),
    }
}

fn rejected(detail: String) -> Error {
    Error::Rejected {
        store: STORE,
        detail,
    }
}

/// An outage of MySQL.
pub fn unavailable(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: error.to_string(),
    }
}
