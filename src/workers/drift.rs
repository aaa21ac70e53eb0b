//! What the clean job has found since this process began: how far the stores drift apart.

use ::metrics::Counter;

use crate::{service::verify::Problem, telemetry::metrics};

/// Totals. What is found a second time before it is mended counts twice.
pub struct Drift {
    missing: Counter,
    stale: Counter,
    ahead: Counter,
    dangling: Counter,
    /// Counts that were wrong.
    pub counts: Counter,
    /// Applications that had chats and no row.
    pub orphaned_applications: Counter,
    /// Chats that had messages and no row.
    pub orphaned_chats: Counter,
}

impl Default for Drift {
    fn default() -> Self {
        Self {
            missing: metrics::drift("missing_document"),
            stale: metrics::drift("stale_document"),
            ahead: metrics::drift("document_ahead_of_row"),
            dangling: metrics::drift("dangling_document"),
            counts: metrics::drift("wrong_count"),
            orphaned_applications: metrics::drift("orphaned_application"),
            orphaned_chats: metrics::drift("orphaned_chat"),
        }
    }
}

impl Drift {
    /// Counts so many documents with which this is wrong.
    pub fn found(&self, problem: Problem, documents: usize) {
        let total = match problem {
            Problem::Missing => &self.missing,
            Problem::Stale => &self.stale,
            Problem::Ahead => &self.ahead,
            Problem::Dangling => &self.dangling,
        };
        total.increment(documents as u64);
    }
}
