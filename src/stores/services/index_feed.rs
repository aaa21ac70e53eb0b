//! The feed of the search index: changes that it does not hold yet.

use std::time::Duration;

use super::Services;
use crate::{domain::Message, stores::Result};

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
