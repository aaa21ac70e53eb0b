//! Connections to MySQL and their time limits.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deadpool::{Runtime, managed::TimeoutType};
use diesel::{QueryResult, result::Error as DieselError};
use diesel_async::{
    AnsiTransactionManager, AsyncMysqlConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Hook, HookError, Object, Pool as DeadPool, PoolError},
    },
};
use futures_util::FutureExt;
use scopeguard::{ScopeGuard, guard};

use super::{
    connect::Connector,
    errors::{self, Cause, Effect, STORE, unavailable},
};
use crate::stores::{
    Error, Result, call::Call, circuit_breaker::CircuitBreaker, format::FoundFormat,
};

/// A checked-out connection.
pub type Connection = Object<AsyncMysqlConnection>;

/// Idle time in seconds after which MySQL closes a pooled session. It bounds how long a process that hangs within a
/// transaction, or whose host lost power, keeps its locks.
const IDLE_TIMEOUT: u64 = 30;

/// Idle time after which a connection is replaced, because MySQL may have closed it.
const MAX_IDLE: Duration = Duration::from_secs(IDLE_TIMEOUT / 2);

/// Connection pool with time limits for every wait.
pub struct Pool {
    connections: DeadPool<AsyncMysqlConnection>,
    connector: Connector,
    /// Time limit of a call.
    pub timeout: Duration,
    breaker: CircuitBreaker,
    /// Time at which a connection was last found closed or its server read-only. Older connections are not reused: a
    /// server that restarted closed all of them, and after a failover all of them may lead to the demoted server.
    replace_before: Arc<Mutex<Option<Instant>>>,
    /// Format of the rows. While it is a newer program's, calls fail.
    pub format: FoundFormat,
}

impl Pool {
    /// Prepares the pool; connections are opened when first needed.
    pub fn new(connector: Connector, size: usize, timeout: Duration) -> Result<Self> {
        let replace_before: Arc<Mutex<Option<Instant>>> = Arc::default();
        let mut manager = ManagerConfig::default();
        manager.custom_setup = Box::new({
            let connector = connector.clone();
            move |_| establish_for_pool(connector.clone()).boxed()
        });
        // A ping at every check-out would double the time of a read: `replace_before` and `Pool::read` replace it.
        manager.recycling_method = RecyclingMethod::Fast;
        // The connector has the URL.
        let manager = AsyncDieselConnectionManager::new_with_config("", manager);
        let connections = DeadPool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(timeout))
            .create_timeout(Some(timeout))
            .recycle_timeout(Some(timeout))
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::sync_fn({
                let replace_before = replace_before.clone();
                move |_, metrics| match *lock(&replace_before) {
                    Some(at) if metrics.created <= at => {
                        Err(HookError::message("it may be closed"))
                    }
                    _ if metrics.last_used() > MAX_IDLE => Err(HookError::message("long unused")),
                    _ => Ok(()),
                }
            }))
            .build()
            .map_err(|error| unavailable(&error))?;
        Ok(Self {
            connections,
            connector,
            timeout,
            breaker: CircuitBreaker::new(STORE, timeout),
            replace_before,
            format: FoundFormat::new(STORE),
        })
    }

    /// Borrows a connection from the pool.
    async fn get(&self) -> Result<Connection> {
        self.breaker.check()?;
        let connection = self.connections.get().await;
        if let Err(PoolError::Timeout(TimeoutType::Create)) = &connection {
            self.breaker.trip();
        }
        connection.map_err(|error| unavailable(&error))
    }

    /// Opens a connection outside the pool, for locks and migrations.
    pub async fn dedicated(&self) -> Result<AsyncMysqlConnection> {
        let connection = self.breaker.call(self.connector.connect()).await?;
        connection.map_err(|error| unavailable(&error))
    }

    /// Runs a query on a dedicated connection, with its own time limit.
    pub async fn within<T>(
        &self,
        time: Duration,
        query: impl Future<Output = QueryResult<T>>,
    ) -> Result<T> {
        let outcome = self.breaker.call_within(time, pin!(query)).await?;
        outcome.map_err(|error| unavailable(&error))
    }

    /// Runs queries that change nothing, within the pool's time limit. Repeats them once if their pooled connection was
    /// closed.
    pub fn read<T: Send>(
        &self,
        call: &Call,
        read: impl Statements<T>,
    ) -> impl Future<Output = Result<T>> + Send {
        self.read_within(self.timeout, call, read)
    }

    /// Same as [`Self::read`], with another time limit.
    pub async fn read_within<T: Send>(
        &self,
        time: Duration,
        call: &Call,
        read: impl Statements<T>,
    ) -> Result<T> {
        self.format.refuse_newer()?;
        self.read_any_format_within(time, call, read).await
    }

    /// Same as [`Self::read`], for what programs of all formats read.
    pub async fn read_any_format<T: Send>(
        &self,
        call: &Call,
        read: impl Statements<T>,
    ) -> Result<T> {
        self.read_any_format_within(self.timeout, call, read).await
    }

    async fn read_any_format_within<T: Send>(
        &self,
        time: Duration,
        call: &Call,
        read: impl Statements<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let mut outcome = self.run(time, Mode::AutoCommit, &read).await;
        if let Err((_, Effect::ReplaceAll)) = outcome {
            outcome = self.run(time, Mode::AutoCommit, &read).await;
        }
        let outcome = outcome.map_err(|(error, _)| error);
        call.record(began, &outcome);
        outcome
    }

    /// Runs statements that may change something, each committed by itself, within the pool's time limit.
    pub async fn write<T: Send>(&self, write: impl Statements<T>) -> Result<T> {
        self.format.refuse_newer()?;
        let outcome = self.run(self.timeout, Mode::AutoCommit, &write).await;
        outcome.map_err(|(error, _)| error)
    }

    /// Runs statements as one transaction, within the pool's time limit. An error rolls it back.
    pub async fn transaction<T: Send>(&self, statements: impl Statements<T>) -> Result<T> {
        self.format.refuse_newer()?;
        let outcome = self.run(self.timeout, Mode::Transaction, &statements).await;
        outcome.map_err(|(error, _)| error)
    }

    /// Runs statements on a pooled connection. The connection is closed if they were abandoned, by the time limit or
    /// because their future was dropped: otherwise the next borrower would read the late response as its own, and an
    /// open transaction would keep its locks. Other connections are not affected.
    async fn run<T: Send>(
        &self,
        time: Duration,
        mode: Mode,
        statements: &impl Statements<T>,
    ) -> std::result::Result<T, (Error, Effect)> {
        let not_run = |error| (error, Effect::Close);
        let connection = self.get().await.map_err(not_run)?;
        let mut lent = guard(connection, |abandoned| drop(Connection::take(abandoned)));
        let outcome = {
            let run = pin!(run(&mut lent, mode, statements));
            match mode {
                Mode::AutoCommit => self.breaker.call_within(time, run).await,
                // A large batch may be slow while MySQL responds to everything else.
                Mode::Transaction => {
                    let ping = self.responds();
                    self.breaker.call_or_ping(time, run, ping).await
                }
            }
        };
        let outcome = outcome.map_err(not_run)?;
        let outcome = outcome.map_err(|(error, cause)| errors::classify(&error, cause));
        match &outcome {
            Err((_, Effect::Close)) => {}
            Err((_, Effect::ReplaceAll)) => *lock(&self.replace_before) = Some(Instant::now()),
            Ok(_) | Err((_, Effect::Reuse)) => drop(ScopeGuard::into_inner(lent)),
        }
        outcome
    }

    /// Tells whether MySQL accepts a connection.
    async fn responds(&self) -> bool {
        self.connector.connect().await.is_ok()
    }
}

/// Statements that run on a connection: an async closure that can be repeated and sent to another thread.
pub trait Statements<T>: for<'c> RunOn<'c, T> + Send + Sync {}

impl<T, S: for<'c> RunOn<'c, T> + Send + Sync> Statements<T> for S {}

/// Part of [`Statements`], for one lifetime of the connection.
pub trait RunOn<'c, T>: Fn(&'c mut Connection) -> Self::Running {
    /// Future of the closure.
    type Running: Future<Output = QueryResult<T>> + Send;
}

impl<'c, T, S, R> RunOn<'c, T> for S
where
    S: Fn(&'c mut Connection) -> R,
    R: Future<Output = QueryResult<T>> + Send,
{
    type Running = R;
}

/// Commit mode of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each statement is committed by itself.
    AutoCommit,
    /// All are committed together.
    Transaction,
}

/// Runs statements; of one that fails, returns the cause.
async fn run<T>(
    connection: &mut Connection,
    mode: Mode,
    statements: &impl Statements<T>,
) -> std::result::Result<T, (DieselError, Cause)> {
    // Of a failed begin or commit the cause is not asked for: the connection is closed instead.
    let unknown = |error| (error, Cause::Connection);
    if mode == Mode::Transaction {
        let begin = AnsiTransactionManager::begin_transaction(&mut **connection);
        begin.await.map_err(unknown)?;
    }
    match statements(connection).await {
        Ok(value) => {
            if mode == Mode::Transaction {
                let commit = AnsiTransactionManager::commit_transaction(&mut **connection);
                commit.await.map_err(unknown)?;
            }
            Ok(value)
        }
        Err(error) => {
            // Before the rollback, which clears it.
            let cause = errors::diagnose(connection, &error).await;
            if mode == Mode::Transaction && cause != Cause::Connection {
                let rollback = AnsiTransactionManager::rollback_transaction(&mut **connection);
                rollback.await.map_err(unknown)?;
            }
            Err((error, cause))
        }
    }
}

/// Locks the time. No code panics in an inconsistent state under this lock, so poisoning is ignored.
fn lock(time: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    time.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn establish_for_pool(
    connector: Connector,
) -> diesel::ConnectionResult<AsyncMysqlConnection> {
    let mut connection = connector.connect().await?;
    connection
        .batch_execute(&format!("SET SESSION wait_timeout = {IDLE_TIMEOUT}"))
        .await
        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}
