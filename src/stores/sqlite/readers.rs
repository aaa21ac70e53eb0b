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
    path::DataFile,
};
use crate::stores::{Result, call::Call};

/// Maximum number of connections. Each caches up to 2 MiB of the file; other reads use the system's page cache.
pub(super) const CONNECTIONS: usize = 4;

/// A bounded number of connections that only read.
#[derive(Clone)]
pub(super) struct Readers {
    file: DataFile,
    /// A permit for each connection.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<LazyConnection>>>,
}

impl Readers {
    /// Prepares the connections; they are made when first needed.
    pub fn new(file: &DataFile) -> Self {
        let idle = (0..CONNECTIONS).map(|_| LazyConnection::new(file, Role::Reads));
        Self {
            file: file.clone(),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Arc::new(Mutex::new(idle.collect())),
        }
    }

    /// Runs `work` on a reading connection, in a thread that may wait for the disk. It sees the file as it was at one
    /// moment, and SQLite locks it once, not for each statement.
    pub async fn run<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let began = Instant::now();
        let outcome = self.read(work).await;
        call.record(began, &outcome);
        outcome
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned();
        let permit = tokio::time::timeout(self.file.timeout, permit)
            .await
            .map_err(|_| unavailable("all readers are busy"))?
            .map_err(failed)?;
        let (idle, file) = (self.idle.clone(), self.file.clone());
        let task = tokio::task::spawn_blocking(move || {
            let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            // There is one for every permit.
            let connection = idle().pop();
            let mut connection =
                connection.unwrap_or_else(|| LazyConnection::new(&file, Role::Reads));
            let outcome = connection.run(|connection| connection.transaction(work));
            idle().push(connection);
            drop(permit);
            outcome
        });
        task.await.map_err(failed)?
    }
}
