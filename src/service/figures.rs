//! How the stores stand, in numbers.

use super::{Service, readiness::StoreState};
use crate::stores::{IndexLag, KindStats};

/// What was read at one moment; `None` of what a store did not answer.
pub struct Figures {
    /// Each store.
    pub stores: [StoreState; 3],
    /// How much of each kind of job is where.
    pub kinds: Option<Vec<KindStats>>,
    /// How far the search index is behind.
    pub lag: Option<IndexLag>,
}

impl Service {
    /// Asks all stores at once. Each takes no longer than its own time limit.
    pub async fn figures(&self) -> Figures {
        let (stores, kinds, lag) =
            tokio::join!(self.stores(), self.queue.stats(), self.records.index_lag());
        Figures {
            stores,
            kinds: kinds.ok(),
            lag: lag.ok(),
        }
    }
}
