//! Reading, beside the writer: in WAL mode neither waits for the other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use diesel::{Connection as _, SqliteConnection};
use tokio::sync::Semaphore;

use super::{
    connection::{LazyConnection, Role},
    error::{Outcome, failed, unavailable},
    interrupt::{self, Limit},
    path::DataFile,
};
use crate::stores::{Result, call::Call};

/// Purpose of reading connections. Each purpose has connections of its own, so that costly searches and scans do not
/// delay the reads of other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reads of the API: some rows by their key.
    Reads,
    /// Searches of the API, whose cost depends on the texts.
    Searches,
    /// Scans, counts and lists of workers and operators. They may take longer than a call of the API.
    Scans,
}

impl Purpose {
    /// Name in errors.
    const fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Searches => "searches",
            Self::Scans => "scans",
        }
    }

    /// Maximum number of connections. Each caches up to 2 MiB of the file; other reads use the system's page cache.
    pub const fn connections(self) -> usize {
        match self {
            Self::Reads => 4,
            Self::Searches | Self::Scans => 2,
        }
    }
}

/// A bounded number of connections that only read.
#[derive(Clone)]
pub(super) struct Readers {
    file: DataFile,
    purpose: Purpose,
    /// A permit for each connection.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<LazyConnection>>>,
}

impl Readers {
    /// Prepares the connections; they are made when first needed.
    pub fn new(file: &DataFile, purpose: Purpose) -> Self {
        let idle = (0..purpose.connections()).map(|_| LazyConnection::new(file, Role::Reads));
        Self {
            file: file.clone(),
            purpose,
            permits: Arc::new(Semaphore::new(purpose.connections())),
            idle: Arc::new(Mutex::new(idle.collect())),
        }
    }

    /// Runs `work` on a reading connection, in a thread that may wait for the disk. It sees the file as it was at one
    /// moment, and SQLite locks it once, not for each statement.
    ///
    /// A call of the API is interrupted at its time limit, which includes the wait for a connection; any call is
    /// interrupted when its caller stops waiting.
    pub async fn run<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let began = Instant::now();
        let outcome = self.read(began, work).await;
        call.record(began, &outcome);
        outcome
    }

    async fn read<T: Send + 'static>(
        &self,
        began: Instant,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let timeout = self.file.timeout;
        let permit = self.permits.clone().acquire_owned();
        let permit = tokio::time::timeout(timeout, permit)
            .await
            .map_err(|_| {
                unavailable(format!(
                    "all connections for {} are busy",
                    self.purpose.name()
                ))
            })?
            .map_err(failed)?;
        let (idle, file) = (self.idle.clone(), self.file.clone());
        let deadline = (self.purpose != Purpose::Scans).then(|| began + timeout);
        let caller = Arc::new(());
        let limit = Limit {
            deadline,
            caller: Arc::downgrade(&caller),
        };
        let task = tokio::task::spawn_blocking(move || {
            let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            // There is one for every permit.
            let connection = idle().pop();
            let mut connection =
                connection.unwrap_or_else(|| LazyConnection::new(&file, Role::Reads));
            let outcome = interrupt::within(limit, || {
                connection.run(|connection| connection.transaction(work))
            });
            idle().push(connection);
            drop(permit);
            outcome
        });
        let outcome = task.await.map_err(failed)?;
        drop(caller);
        match (outcome, deadline) {
            (Err(error), Some(deadline)) if error.is_outage() && deadline <= Instant::now() => {
                Err(unavailable(format!(
                    "no result within {timeout:?}; the query was stopped"
                )))
            }
            (outcome, _) => outcome,
        }
    }
}
