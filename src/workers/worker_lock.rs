//! Lock that a worker keeps from one step to the next.

use std::time::Duration;

use crate::stores::{Backend, LockGuard, Result};

/// Lock of a worker that only one process runs at a time.
pub struct WorkerLock {
    name: &'static str,
    guard: Option<LockGuard>,
}

impl WorkerLock {
    /// The lock of this name, not acquired yet.
    pub fn new(name: &'static str) -> Self {
        let guard = None;
        Self { name, guard }
    }

    /// Acquires or keeps the lock; false if another process holds it.
    pub async fn acquire(&mut self, backend: &Backend) -> Result<bool> {
        if let Some(guard) = &mut self.guard
            && guard.is_held().await
        {
            return Ok(true);
        }
        // Before another one is acquired: a lock needs a connection of its own.
        self.guard = None;
        self.guard = backend.lock(self.name, Duration::ZERO).await?;
        Ok(self.guard.is_some())
    }

    /// Releases the lock if it is held.
    pub fn release(&mut self) {
        self.guard = None;
    }
}
