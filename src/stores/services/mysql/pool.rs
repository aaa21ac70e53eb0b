//! Connections to MySQL, their time limits, and the classification of its errors.

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

/// Name of this store in errors.
const STORE: &str = "MySQL";

/// A checked-out connection.
pub type Connection = Object<AsyncMysqlConnection>;

/// Session variables set on every new connection. Row locks cover the rows that a statement touches, not the gaps
/// between them, so that batches of several processes do not wait for each other. Errors are in English, for
/// [`classify`].
const SESSION: &str = "SET SESSION transaction_isolation = 'READ-COMMITTED', lc_messages = 'en_US', \
                       sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO', \
                       innodb_lock_wait_timeout = 2";

/// Idle time in seconds after which MySQL closes a pooled session. It bounds how long a process that hangs within a
/// transaction, or whose host lost power, keeps its locks.
const IDLE_TIMEOUT: u64 = 30;

/// Idle time after which a connection is replaced, because MySQL may have closed it.
const MAX_IDLE: Duration = Duration::from_secs(IDLE_TIMEOUT / 2);

/// Connection pool with time limits for every wait.
pub struct Pool {
    connections: DeadPool<AsyncMysqlConnection>,
    url: String,
    /// Time limit of a call.
    pub timeout: Duration,
    breaker: CircuitBreaker,
    /// Time at which a connection last broke or missed a response. Older connections are not reused: a server that
    /// restarted closed all of them, and a late response would be read as the response to another query.
    last_broken: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// Prepares the pool; connections are opened when first needed.
    pub fn new(url: &Url, size: usize, timeout: Duration) -> Result<Self> {
        let mut url = url.clone();
        if !url.query_pairs().any(|(name, _)| name == "prefer_socket") {
            // Otherwise the client switches to the server's Unix socket, which may belong to another server.
            url.query_pairs_mut().append_pair("prefer_socket", "false");
        }
        let last_broken: Arc<Mutex<Option<Instant>>> = Arc::default();
        let mut manager = ManagerConfig::default();
        manager.custom_setup = Box::new(|url| establish_for_pool(url).boxed());
        // A ping at every check-out would double the time of a read: `last_broken` and `Pool::read` replace it.
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

    /// Borrows a connection from the pool.
    pub async fn get(&self) -> Result<Connection> {
        self.breaker.check()?;
        let connection = self.connections.get().await;
        if let Err(PoolError::Timeout(TimeoutType::Create)) = &connection {
            self.breaker.trip();
        }
        connection.map_err(|error| unavailable(&error))
    }

    /// Creates the guard of a transaction, before its connection is borrowed.
    pub fn transaction(&self) -> TransactionGuard<'_> {
        TransactionGuard {
            pool: self,
            finished: false,
        }
    }

    /// Opens a connection outside the pool, for locks and migrations.
    pub async fn dedicated(&self) -> Result<AsyncMysqlConnection> {
        let connection = self.breaker.call(establish(&self.url)).await?;
        connection.map_err(|error| unavailable(&error))
    }

    /// Runs a query within the pool's time limit and classifies its error.
    pub async fn in_time<T>(
        &self,
        query: impl Future<Output = std::result::Result<T, DieselError>>,
    ) -> Result<T> {
        self.within(self.timeout, query).await
    }

    /// Same as [`Self::in_time`], with another time limit.
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

    /// Makes a call that changes nothing. Repeats it once if its pooled connection was closed.
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

/// Guard of a call. Discards the connections if the call got no response: after a timeout, a broken connection, or
/// because its future was dropped. The next borrower would read the late response as its own.
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

/// Guard of a transaction. Closes its connection if it was abandoned, by a timeout or because its future was dropped:
/// otherwise the idle connection would keep its locks. Created before the connection is taken, it is dropped after its
/// return.
pub struct TransactionGuard<'a> {
    pool: &'a Pool,
    finished: bool,
}

impl TransactionGuard<'_> {
    /// Ends the guard with the outcome; only an outage may leave the transaction open.
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

/// Locks the time. No code panics in an inconsistent state under this lock, so poisoning is ignored.
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

/// Prefixes of `mysql_async`'s own and network errors, as opposed to errors of the server.
const CONNECTION_ERRORS: [&str; 2] = ["Input/output error", "Driver error"];

/// Tells whether the error means that the connection is closed.
fn is_connection_error(error: &Error) -> bool {
    matches!(error, Error::Unavailable { detail, .. } if CONNECTION_ERRORS.iter().any(|d| detail.starts_with(d)))
}

/// Prefixes of MySQL's data errors (the server's errmsg-utf8.txt). diesel-async passes on the text only, not the
/// number. Any other error counts as an outage, which costs a delay, never a job.
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

/// Classifies an error of diesel.
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

/// Makes the error of an outage.
pub fn unavailable(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: error.to_string(),
    }
}
