//! Accepting writes.

use super::{Backend, Result};
use crate::domain::{Number, RequestId, Revision, Write};

/// Outcome of a write that was offered to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The write is durably queued and readable.
    Accepted {
        /// The number of the new, updated or deleted chat or message; 0 for an application.
        number: Number,
        /// Position in the order of all writes.
        revision: Revision,
    },
    /// The application, chat or message that it is to be written into, or that it updates or deletes, does not exist.
    Missing,
    /// The application ID is taken: try another.
    Taken,
    /// The creation was accepted before, with the same idempotency key and body.
    Replayed {
        /// The number of the chat or message that it created.
        number: Number,
    },
    /// A creation was accepted before with the same idempotency key, and what it created was deleted.
    ReplayedDeleted,
    /// The idempotency key was used with another body.
    KeyReused,
    /// The message has another version than the condition requires.
    Changed,
}

impl Backend {
    /// Accepts a write in one atomic step: checks that what it belongs to exists, gives it a number and a revision, and
    /// queues it. Once this returns, the write survives the death of this process, and of the queue's own store as far
    /// as that syncs. The job names the `request`.
    ///
    /// Numbers are gapless and unique under any number of callers.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](super::Error::Full) at a bound of the queue; nothing is changed then.
    pub async fn enqueue(&self, write: &Write, request: Option<&RequestId>) -> Result<Enqueued> {
        let enqueued = dispatch!(self.enqueue(write, request), services: enqueue)?;
        if let Enqueued::Accepted { revision, .. } = enqueued {
            self.wakeups().enqueued(write.kind);
            self.followers().changed(write.target.app, revision);
        }
        Ok(enqueued)
    }
}
