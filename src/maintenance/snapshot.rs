//! State of the stores, in numbers.

use super::Maintenance;
use crate::stores::{Backend, KindStats, Probe, Result, services::IndexLag};

/// Figures of one moment; `None` where a store did not respond.
pub struct Snapshot {
    /// Each store.
    pub stores: [Probe; 3],
    /// Counts of each kind of job.
    pub kinds: Option<Vec<KindStats>>,
    /// Search index lag behind the rows.
    pub lag: Option<IndexLag>,
}

impl Maintenance {
    /// Queries all stores concurrently. Each store's time limit bounds its query.
    pub async fn snapshot(&self) -> Snapshot {
        let (stores, kinds, lag) = tokio::join!(self.stores(), self.job_stats(), self.index_lag());
        Snapshot {
            stores,
            kinds: kinds.ok(),
            lag: lag.ok(),
        }
    }

    /// Probes all stores.
    pub async fn stores(&self) -> [Probe; 3] {
        self.backend.probe().await
    }

    async fn index_lag(&self) -> Result<IndexLag> {
        match &self.backend {
            Backend::Services(services) => services.mysql.index_lag().await,
            // Its index is written in the rows' own transactions.
            Backend::Embedded(_) => Ok(IndexLag::default()),
        }
    }

    /// Upper bound of the number of stored batches that the search index does not hold yet.
    pub async fn waiting_batches(&self) -> Result<u64> {
        let waiting = self.waiting_changes().await?;
        Ok(waiting.map_or(0, |ids| ids.end() - ids.start() + 1))
    }
}
