//! The feed of the search index: changes that it does not hold yet.

use std::time::Duration;

use super::Services;
use crate::{
    domain::{Message, MessageKey},
    stores::{Error, Result},
};

/// Interval of polling the outbox while waiting for the index.
const POLL: Duration = Duration::from_millis(100);

/// Changes that the index does not hold yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    /// IDs to clear once the index holds them.
    pub ids: Vec<u64>,
    /// The messages that they touched, as they are now.
    pub messages: Vec<Message>,
    /// A further index that a rebuild is filling, read together with the changes.
    pub build_target: Option<String>,
}

/// Search index lag behind the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexLag {
    /// Messages that it does not hold yet; one that changed twice counts twice.
    pub messages: u64,
    /// Age of the oldest of these changes.
    pub oldest: Duration,
}

impl Services {
    /// Puts documents into the index in use, and into the one that is being built. Returns messages that the index in use
    /// rejects permanently, with the reasons.
    pub async fn index(
        &self,
        messages: &[Message],
        build_target: Option<&str>,
    ) -> Result<Vec<(MessageKey, String)>> {
        let put = self.elasticsearch.put(None, messages).await;
        if matches!(put, Err(Error::IndexMissing(_))) {
            self.wakeups.index_missing.notify_one();
        }
        let rejected = put?;
        if let Some(target) = build_target {
            match self.elasticsearch.put(Some(target), messages).await {
                Err(Error::IndexMissing(_)) => {
                    tracing::warn!(
                        target,
                        "Index of a rebuild no longer exists; the rebuild is abandoned"
                    );
                    self.mysql.end_build(target).await?;
                }
                outcome => drop(outcome?),
            }
        }
        Ok(rejected)
    }

    /// Empties the documents of messages whose deletion is stored, in the index in use and in the one that is being built.
    pub(super) async fn empty_documents(&self, deleted: &[Message]) -> Result<()> {
        // After the deletion was stored: what a rebuild read before is in this index, and later it reads no content.
        let target = self.mysql.build_target().await?;
        for (key, reason) in self.index(deleted, target.as_deref()).await? {
            tracing::error!(%key, reason, "Search index rejected an empty document; it still holds a deleted message");
        }
        Ok(())
    }

    /// Waits until the index holds what is stored by now; false if it does not within `wait`.
    pub async fn wait_until_indexed(&self, wait: Duration) -> Result<bool> {
        let Some(waiting) = self.mysql.outbox_range().await? else {
            return Ok(true);
        };
        let deadline = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < deadline {
            match self.mysql.outbox_range().await? {
                Some(left) if left.start() <= waiting.end() => tokio::time::sleep(POLL).await,
                _ => return Ok(true),
            }
        }
        Ok(false)
    }
}
