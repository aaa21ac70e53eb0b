//! What the clean job has found since this process began: how far the stores drift apart.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::service::verify::Problem;

/// Totals, to be read at any time. What is found a second time before it is mended counts twice.
#[derive(Debug, Default)]
pub struct Drift {
    /// Rows without a document.
    pub missing: AtomicU64,
    /// Documents with an older text than their row.
    pub stale: AtomicU64,
    /// Documents that were newer than their row.
    pub ahead: AtomicU64,
    /// Documents without a row.
    pub dangling: AtomicU64,
    /// Counts that were wrong.
    pub counts: AtomicU64,
    /// Chats that had messages and no row.
    pub orphaned_chats: AtomicU64,
}

impl Drift {
    /// Counts what is wrong with a document.
    pub fn found(&self, problem: Problem) {
        let total = match problem {
            Problem::Missing => &self.missing,
            Problem::Stale => &self.stale,
            Problem::Ahead => &self.ahead,
            Problem::Dangling => &self.dangling,
        };
        add(total, 1);
    }
}

/// Adds to a total.
pub fn add(total: &AtomicU64, count: usize) {
    total.fetch_add(count as u64, Ordering::Relaxed);
}
