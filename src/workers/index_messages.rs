//! Tells the search index what was stored: the documents as they are now, in bulk.
//!
//! One process does this at a time. What it repeats, or does late, changes nothing: a document's version is the
//! message's revision, and the index keeps the newest.

use std::time::Duration;

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};
use tracing::{error, warn};

use super::{
    Context,
    runner::{Step, Worker, pass},
};
use crate::{
    service::rebuild::INDEX_LOCK,
    stores::{Error, Guard, Result},
};

/// How long the lock is held before others get their turn: a rebuild that wants to swap, another process.
const TURN: Duration = Duration::from_secs(1);

/// How long to wait for the lock. Whoever holds it passes it on after its turn.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// See the module.
pub struct IndexMessages {
    context: Context,
    lock: Option<(Box<dyn Guard>, Instant)>,
}

impl IndexMessages {
    pub fn new(context: &Context) -> Self {
        Self {
            context: context.clone(),
            lock: None,
        }
    }

    /// Whether it is this process's turn.
    async fn has_lock(&mut self) -> Result<bool> {
        if let Some((lock, since)) = &mut self.lock {
            if since.elapsed() < TURN && lock.is_held().await {
                return Ok(true);
            }
            self.lock = None;
        }
        let lock = self.context.records.lock(INDEX_LOCK, LOCK_WAIT).await?;
        self.lock = lock.map(|lock| (lock, Instant::now()));
        Ok(self.lock.is_some())
    }
}

#[async_trait]
impl Worker for IndexMessages {
    fn name(&self) -> &'static str {
        "index_messages"
    }

    fn bell(&self) -> Option<&Notify> {
        Some(&self.context.wake.messages_stored.index)
    }

    fn rest(&self) -> Duration {
        self.context.settings.poll
    }

    async fn step(&mut self) -> Result<Step> {
        // A look is cheaper than a lock, which is a connection of its own.
        let idle = self.lock.is_none() && self.context.records.outbox_bounds().await?.is_none();
        if idle || !self.has_lock().await? {
            return Ok(Step::Idle);
        }
        let Context { records, index, .. } = &self.context;
        let outbox = records.outbox(self.context.settings.batch).await?;
        if outbox.ids.is_empty() {
            self.lock = None;
            return Ok(Step::Idle);
        }
        match index.put(None, &outbox.messages).await {
            Ok(refused) => {
                for (key, reason) in refused {
                    error!(%key, reason, "the search index refuses a message");
                }
            }
            Err(error) => {
                if matches!(error, Error::IndexMissing(_)) {
                    self.context.wake.index_missing.notify_one();
                }
                return Err(error);
            }
        }
        if let Some(target) = &outbox.build_target {
            match index.put(Some(target), &outbox.messages).await {
                Err(Error::IndexMissing(_)) => {
                    warn!(target, "the index that a rebuild was filling is gone");
                    records.end_build(target).await?;
                }
                outcome => drop(outcome?),
            }
        }
        pass("before_outbox_delete").await?;
        records.clear_outbox(&outbox.ids).await?;
        Ok(Step::Worked)
    }
}
