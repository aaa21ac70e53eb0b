//! Erases the content of deleted chats and applications, and the messages of senders whose erasure was requested.
//!
//! One process does this at a time. If the lock is lost, two do the same for a moment, which is harmless.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Context,
    runner::{Step, Worker},
    worker_lock::WorkerLock,
};
use crate::stores::{Backend, Result};

/// Messages that a step erases at most.
const MESSAGES: usize = 1000;

/// Interval of looking for erasures that other processes requested.
const POLL: Duration = Duration::from_secs(1);

/// Worker that erases.
pub struct Erase {
    context: Context,
    lock: WorkerLock,
}

impl Erase {
    /// Creates the worker.
    pub fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            lock: WorkerLock::new("erase"),
        }
    }
}

#[async_trait]
impl Worker for Erase {
    fn name(&self) -> &'static str {
        "erase"
    }

    fn wakeup(&self) -> Option<&Notify> {
        Some(&self.context.backend.wakeups().erase)
    }

    fn poll_interval(&self) -> Duration {
        POLL
    }

    /// A step writes to the index, and may wait for a busy disk.
    fn stall_factor(&self) -> u32 {
        5
    }

    fn is_cancelled_at_shutdown(&self) -> bool {
        true
    }

    async fn step(&mut self) -> Result<Step> {
        // On the services, this is cheaper than the lock, which needs its own connection.
        let backend = &self.context.backend;
        let is_idle = match backend {
            Backend::Services(services) => services.mysql.unfinished_erasure().await?.is_none(),
            Backend::Embedded(_) => false,
        };
        if !is_idle && self.lock.acquire(backend).await? && backend.erase_step(MESSAGES).await? {
            // The pause between steps leaves the stores to requests.
            return Ok(Step::CaughtUp);
        }
        self.lock.release();
        Ok(Step::Idle)
    }
}
