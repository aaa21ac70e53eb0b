//! Health of the stores, their schema, and locks between processes.

use std::time::{Duration, Instant};

use super::{Backend, Check, Error, Result, services::mysql::NamedLock, sqlite::FileLock};

/// Response of one store to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Purpose: `queue`, `records` or `search`.
    pub name: &'static str,
    /// Duration of the probe.
    pub latency: Duration,
    /// Error of the probe.
    pub error: Option<Error>,
    /// Tells whether writes fail without this store; without the others only search does.
    pub needed: bool,
}

impl Probe {
    async fn run(
        name: &'static str,
        needed: bool,
        probe: impl Future<Output = Result<()>>,
    ) -> Self {
        let began = Instant::now();
        let error = probe.await.err();
        Self {
            name,
            latency: began.elapsed(),
            error,
            needed,
        }
    }
}

/// A lock that only one process can hold. It ends when this is dropped, or when the process ends.
pub enum LockGuard {
    /// A named lock of MySQL.
    Mysql(NamedLock),
    /// A lock on a file.
    File(FileLock),
}

impl LockGuard {
    /// Tells whether the lock is still held. MySQL's ends with its connection, a file's with the process.
    pub async fn is_held(&mut self) -> bool {
        match self {
            Self::Mysql(lock) => lock.is_held().await,
            Self::File(_) => true,
        }
    }
}

impl Backend {
    /// Probes all stores concurrently, cheaply enough to be called every second. The store's time limit bounds each
    /// probe. [`Error::Failed`]: the queue's store may lose jobs. [`Error::Full`]: a bound of the queue is reached.
    pub async fn probe(&self) -> [Probe; 3] {
        let (queue, records, search) = match self {
            Self::Services(services) => tokio::join!(
                Probe::run("queue", true, services.redis.probe()),
                Probe::run("records", true, services.mysql.probe()),
                Probe::run("search", false, services.elasticsearch.probe()),
            ),
            Self::Embedded(embedded) => tokio::join!(
                Probe::run("queue", true, embedded.probe_queue()),
                Probe::run("records", true, embedded.probe_rows()),
                Probe::run("search", false, embedded.probe_index()),
            ),
        };
        [queue, records, search]
    }

    /// Examines the stores and their settings. An unreachable store is a finding. `batch_bytes` is the size of a batch.
    pub async fn diagnose(&self, batch_bytes: usize) -> Vec<Check> {
        match self {
            Self::Services(services) => services.diagnose(batch_bytes).await,
            Self::Embedded(embedded) => embedded.diagnose().await,
        }
    }

    /// Migrates the schema to that of this program. Several processes may do so at once.
    pub async fn migrate(&self) -> Result<()> {
        dispatch!(self.migrate(), services: mysql.migrate)
    }

    /// Acquires the lock `name`, waiting at most `wait`; `None` if another process holds it.
    pub async fn lock(&self, name: &str, wait: Duration) -> Result<Option<LockGuard>> {
        Ok(match self {
            Self::Services(services) => {
                services.mysql.lock(name, wait).await?.map(LockGuard::Mysql)
            }
            Self::Embedded(embedded) => embedded.lock(name, wait).await?.map(LockGuard::File),
        })
    }
}
