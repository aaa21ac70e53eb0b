//! Wakeups of this process's workers, which would otherwise wait for their next poll.

use tokio::sync::Notify;

use crate::domain::{Entity, Kind};

/// One notification for each worker. A notification that no worker waits for is kept for its next wait. What another
/// process does notifies nobody here, and is found by polling.
#[derive(Debug, Default)]
pub struct Wakeups {
    jobs: [Notify; Kind::ALL.len()],
    /// Messages were stored: the index is behind (services).
    pub index: Notify,
    /// Chats were stored: the counts of applications are behind (services).
    pub chats_count: Notify,
    /// Messages were stored: the counts of chats are behind (services).
    pub messages_count: Notify,
    /// There is no search index.
    pub index_missing: Notify,
}

impl Wakeups {
    /// The notification of the worker that stores jobs of `kind`.
    pub fn job(&self, kind: Kind) -> &Notify {
        &self.jobs[kind as usize]
    }

    /// A job of `kind` was queued.
    pub(super) fn enqueued(&self, kind: Kind) {
        self.job(kind).notify_one();
    }

    /// Jobs of `kind` were stored.
    pub(super) fn stored(&self, kind: Kind) {
        match kind.entity() {
            Entity::Application => {}
            Entity::Chat => self.chats_count.notify_one(),
            Entity::Message => {
                self.index.notify_one();
                self.messages_count.notify_one();
            }
        }
    }
}
