//! Indexes stored messages: puts their current documents, in bulk.
//!
//! One process does this at a time. Repeated and late writes change nothing: a document's version is the message's
//! revision, and the index keeps the highest.

use std::{future::ready, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{Stream, TryStreamExt, stream};
use tokio::{sync::Notify, time::Instant};
use tracing::error;

use super::{
    Context,
    runner::{Step, Worker, failpoint},
};
use crate::{
    maintenance::INDEX_LOCK,
    stores::{
        Result, Services,
        services::{Outbox, mysql::NamedLock},
    },
};

/// Time that a process holds the lock before it releases it to other processes and to a rebuild that must swap.
const TIME_SLICE: Duration = Duration::from_secs(1);

/// Time to wait for the lock. Its holder releases it after its time slice.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Bulk requests under way at once: while the index works on one, the words of the next are found.
const IN_FLIGHT: usize = 2;

/// Worker that indexes messages.
pub struct IndexMessages {
    context: Context,
    services: Arc<Services>,
    lock: Option<(NamedLock, Instant)>,
}

impl IndexMessages {
    /// Creates the worker.
    pub fn new(context: &Context, services: &Arc<Services>) -> Self {
        Self {
            context: context.clone(),
            services: services.clone(),
            lock: None,
        }
    }

    /// Acquires or keeps the lock; false if another process holds it.
    async fn has_lock(&mut self) -> Result<bool> {
        if let Some((lock, since)) = &mut self.lock {
            if since.elapsed() < TIME_SLICE && lock.is_held().await {
                return Ok(true);
            }
            self.lock = None;
        }
        let lock = self.services.mysql.lock(INDEX_LOCK, LOCK_WAIT).await?;
        self.lock = lock.map(|lock| (lock, Instant::now()));
        Ok(self.lock.is_some())
    }
}

#[async_trait]
impl Worker for IndexMessages {
    fn name(&self) -> &'static str {
        "index_messages"
    }

    fn wakeup(&self) -> Option<&Notify> {
        Some(&self.context.backend.wakeups().index)
    }

    fn poll_interval(&self) -> Duration {
        self.context.settings.poll
    }

    /// A step with long texts makes several requests, and each may wait for a busy disk.
    fn stall_factor(&self) -> u32 {
        5
    }

    fn is_cancelled_at_shutdown(&self) -> bool {
        true
    }

    async fn step(&mut self) -> Result<Step> {
        // Reading the outbox is cheaper than the lock, which needs its own connection.
        let idle = self.lock.is_none() && self.services.mysql.outbox_range().await?.is_none();
        if idle || !self.has_lock().await? {
            return Ok(Step::Idle);
        }
        let slice_end = match &self.lock {
            Some((_, since)) => *since + TIME_SLICE,
            None => return Ok(Step::Idle),
        };
        let batch = self.context.settings.batch;
        // The next changes are read, and the words of their documents found, while the index works.
        let indexed: usize = changes(self.services.clone(), batch, slice_end)
            .map_ok(|outbox| index_changes(self.services.clone(), outbox))
            .try_buffer_unordered(IN_FLIGHT)
            .try_fold(0, |sum, messages| ready(Ok(sum + messages)))
            .await?;
        Ok(match indexed {
            0 => {
                self.lock = None;
                Step::Idle
            }
            some if some < batch / 2 => Step::CaughtUp,
            _ => Step::Worked,
        })
    }
}

/// Stream of changes that are not indexed yet: continues while reads return many of them, until the time slice ends.
fn changes(
    services: Arc<Services>,
    batch: usize,
    slice_end: Instant,
) -> impl Stream<Item = Result<Outbox>> {
    stream::try_unfold(Some(None), move |after| {
        let services = services.clone();
        async move {
            let Some(after) = after else {
                return Ok(None);
            };
            let outbox = services.mysql.outbox(after, batch).await?;
            let Some(last) = outbox.ids.iter().max().copied() else {
                return Ok(None);
            };
            // Of what comes little by little more comes together meanwhile.
            let has_more = outbox.messages.len() >= batch / 2 && Instant::now() < slice_end;
            Ok(Some((outbox, has_more.then_some(Some(last)))))
        }
    })
}

/// Indexes changes and removes them from the outbox; returns how many there were.
async fn index_changes(services: Arc<Services>, outbox: Outbox) -> Result<usize> {
    let target = outbox.build_target.as_deref();
    for (key, reason) in services.index(&outbox.messages, target).await? {
        error!(%key, reason, "Search index rejected a message; it cannot be found by search");
    }
    failpoint("before_outbox_delete").await?;
    services.mysql.clear_outbox(&outbox.ids).await?;
    // Of changes to the same message, or to one that is gone, fewer documents are left than there were changes.
    Ok(outbox.messages.len().max(1))
}
