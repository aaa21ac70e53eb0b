//! Counters of accepted and stored writes of this process, for the charts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that requests and workers increment.
#[derive(Debug, Default)]
pub struct WriteCounters {
    accepted: AtomicU64,
    stored: AtomicU64,
}

/// Values of the counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Number of accepted writes.
    pub accepted: u64,
    /// Number of stored jobs.
    pub stored: u64,
}

impl WriteCounters {
    /// Counts an accepted write.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts stored jobs.
    pub fn stored(&self, jobs: usize) {
        self.stored.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    /// Returns the totals.
    pub fn totals(&self) -> WriteCounts {
        WriteCounts {
            accepted: self.accepted.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
        }
    }
}
