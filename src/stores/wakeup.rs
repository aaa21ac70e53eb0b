//! Waking the workers of this process, so that they need not wait for their next look.

use tokio::sync::Notify;

use crate::domain::Kind;

/// A bell for each worker. A ring that nobody waits for is kept for the next who does, so none is missed; what another
/// process does rings no bell here, and is found by polling.
#[derive(Debug, Default)]
pub struct Wake {
    jobs: [Notify; Kind::ALL.len()],
    /// Messages were stored: the index and the counts are behind.
    pub messages_stored: Bells,
    /// Chats were stored: the counts are behind.
    pub chats_stored: Notify,
    /// There is no search index.
    pub index_missing: Notify,
}

/// The workers that stored messages concern.
#[derive(Debug, Default)]
pub struct Bells {
    /// For `index_messages`.
    pub index: Notify,
    /// For `update_messages_count`.
    pub count: Notify,
}

impl Wake {
    /// The bell of a kind of job.
    pub fn job(&self, kind: Kind) -> &Notify {
        &self.jobs[kind as usize]
    }

    /// Tells who follows that jobs of that kind were stored.
    pub fn stored(&self, kind: Kind) {
        match kind {
            Kind::CreateApplication => {}
            Kind::CreateChat => self.chats_stored.notify_one(),
            Kind::CreateMessage | Kind::UpdateMessage => {
                self.messages_stored.index.notify_one();
                self.messages_stored.count.notify_one();
            }
        }
    }
}
