//! Reading, beside the writer: in WAL mode neither waits for the other.

use std::sync::{Arc, Mutex, PoisonError};

use diesel::{Connection as _, SqliteConnection};
use tokio::sync::Semaphore;

use super::{
    connection::{Place, Role, Slot},
    error::{Outcome, failed, unavailable},
};
use crate::stores::Result;

/// Connections at most. Each keeps up to 2 MiB of the file in memory; what is read otherwise comes from the system's.
pub(super) const CONNECTIONS: usize = 4;

/// A bounded number of connections that only read.
#[derive(Clone)]
pub(super) struct Readers {
    place: Place,
    /// A permit for each connection.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Slot>>>,
}

impl Readers {
    /// Prepares the connections; they are made when first needed.
    pub fn new(place: &Place) -> Self {
        let idle = (0..CONNECTIONS).map(|_| Slot::new(place, Role::Reads));
        Self {
            place: place.clone(),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Arc::new(Mutex::new(idle.collect())),
        }
    }

    /// Runs something on a reading connection, in a thread that may wait for the disk. It all sees the file as it was at
    /// one moment, and SQLite locks it once, not for each statement.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned();
        let permit = tokio::time::timeout(self.place.timeout, permit)
            .await
            .map_err(|_| unavailable("all readers are busy"))?
            .map_err(failed)?;
        let (idle, place) = (self.idle.clone(), self.place.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let slots = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            // There is one for every permit.
            let slot = slots().pop();
            let mut slot = slot.unwrap_or_else(|| Slot::new(&place, Role::Reads));
            let answer = slot.run(|connection| connection.transaction(work));
            slots().push(slot);
            drop(permit);
            answer
        });
        reading.await.map_err(failed)?
    }
}
