//! Whether a creation would be accepted now, and what is wrong if not.

use std::time::{Duration, Instant};

use super::Service;
use crate::stores::{self, Error};

/// What one store said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreState {
    /// What it is for: `queue`, `records` or `search`.
    pub name: &'static str,
    /// How long the answer took.
    pub latency: Duration,
    /// What is wrong.
    pub error: Option<Error>,
    /// Whether writes are refused for it; else it is missed by search alone.
    pub needed: bool,
}

impl Service {
    /// Asks all stores at once. Each takes no longer than its own time limit.
    pub async fn stores(&self) -> [StoreState; 3] {
        let (queue, records, search) = tokio::join!(
            ask("queue", true, self.queue.ping()),
            ask("records", true, self.records.ping()),
            ask("search", false, self.index.ping()),
        );
        [queue, records, search]
    }
}

async fn ask(
    name: &'static str,
    needed: bool,
    ping: impl Future<Output = stores::Result<()>>,
) -> StoreState {
    let asked = Instant::now();
    let error = ping.await.err();
    StoreState {
        name,
        latency: asked.elapsed(),
        error,
        needed,
    }
}
