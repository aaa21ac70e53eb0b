//! Deletes messages that are older than `retention.messages_days`.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Context,
    runner::{Step, Worker},
    worker_lock::WorkerLock,
};
use crate::{domain::ChatKey, stores::Result};

/// Number of messages after which a step ends.
const MESSAGES: usize = 1000;

/// Pause after all chats were looked at.
const PAUSE: Duration = Duration::from_secs(60);

/// Worker that deletes old messages. One process does this at a time.
pub struct ExpireMessages {
    context: Context,
    age: Duration,
    last: Option<ChatKey>,
    lock: WorkerLock,
}

impl ExpireMessages {
    /// Creates the worker for messages of this age.
    pub fn new(context: &Context, age: Duration) -> Self {
        Self {
            context: context.clone(),
            age,
            last: None,
            lock: WorkerLock::new("retention"),
        }
    }
}

#[async_trait]
impl Worker for ExpireMessages {
    fn name(&self) -> &'static str {
        "expire_messages"
    }

    fn wakeup(&self) -> Option<&Notify> {
        None
    }

    fn poll_interval(&self) -> Duration {
        PAUSE
    }

    /// A step writes to the index, and may wait for a busy disk.
    fn stall_factor(&self) -> u32 {
        5
    }

    fn is_cancelled_at_shutdown(&self) -> bool {
        true
    }

    async fn step(&mut self) -> Result<Step> {
        let backend = &self.context.backend;
        if !self.lock.acquire(backend).await? {
            return Ok(Step::Idle);
        }
        let expired = backend
            .expire_messages(self.age, self.last, MESSAGES)
            .await?;
        self.last = expired.last;
        if expired.messages > 0 {
            backend.wakeups().messages_count.notify_one();
        }
        if expired.is_done {
            self.lock.release();
            return Ok(Step::Idle);
        }
        // The pause between steps leaves the stores to requests.
        Ok(Step::CaughtUp)
    }
}
