//! How many writes this process has accepted and stored since it began: what rates are made of.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals, kept by requests and workers, to be read at any time.
#[derive(Debug, Default)]
pub struct WriteCounters {
    accepted: AtomicU64,
    stored: AtomicU64,
}

/// The totals at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Writes that were answered as accepted.
    pub accepted: u64,
    /// Jobs whose write was stored.
    pub stored: u64,
}

impl WriteCounters {
    /// A write was accepted.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// So many jobs were stored.
    pub fn stored(&self, jobs: usize) {
        self.stored.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    /// What it comes to.
    pub fn totals(&self) -> WriteCounts {
        WriteCounts {
            accepted: self.accepted.load(Ordering::Relaxed),
            stored: self.stored.load(Ordering::Relaxed),
        }
    }
}
