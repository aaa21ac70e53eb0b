//! Wakeups of this process's workers, which would otherwise wait for their next poll.

use tokio::sync::Notify;

use crate::domain::{Action, Entity, Kind};

/// Notifications, one for each worker. A notification without a waiting worker is kept for its next wait. Changes by
/// other processes send none; workers find them by polling.
#[derive(Debug, Default)]
pub struct Wakeups {
    jobs: [Notify; Kind::ALL.len()],
    /// Wakes the index worker after messages were stored (services).
    pub index: Notify,
    /// Wakes the worker of applications' counts after chats were stored (services).
    pub chats_count: Notify,
    /// Wakes the worker of chats' counts after messages were stored (services).
    pub messages_count: Notify,
    /// Wakes the worker that erases contents after a deletion was stored.
    pub erase: Notify,
    /// Wakes the reconciler if there is no search index.
    pub index_missing: Notify,
}

impl Wakeups {
    /// Returns the notification of the worker that stores jobs of `kind`.
    pub fn job(&self, kind: Kind) -> &Notify {
        &self.jobs[kind as usize]
    }

    /// Notifies the worker of `kind` of a queued job.
    pub(super) fn enqueued(&self, kind: Kind) {
        self.job(kind).notify_one();
    }

    /// Notifies the workers that depend on stored jobs of `kind`.
    pub(super) fn stored(&self, kind: Kind) {
        if kind.action() == Action::Delete && kind.entity() != Entity::Message {
            self.erase.notify_one();
        }
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
