//! Errors of stores.

use thiserror::Error;

/// The outcome of a call to a store.
pub type Result<T> = std::result::Result<T, Error>;

/// Error of a store. Workers decide by its kind how to settle a batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// Outage: the same call may succeed later. A write may or may not have happened.
    #[error("{store} is unavailable: {detail}")]
    Unavailable {
        /// Name of the store.
        store: &'static str,
        /// Details.
        detail: String,
    },
    /// The store refuses this data, and would again.
    #[error("{store} rejects the data: {detail}")]
    Rejected {
        /// Name of the store.
        store: &'static str,
        /// Reason of the rejection.
        detail: String,
    },
    /// The queue is at one of its bounds; nothing was changed.
    #[error("the queue is full: {0}")]
    Full(String),
    /// The batch is no longer the caller's to store or settle: its lease ended, or the queue began a new epoch.
    #[error("the claim is no longer valid: {0}")]
    Fenced(String),
    /// There is no search index yet, or no more.
    #[error("the search index {0} does not exist: `confab search rebuild` builds it from the rows")]
    IndexMissing(String),
    /// Something that was seen with a cursor is not part of the history any more, or something may be missed with it.
    #[error("the history of the cursor was lost")]
    HistoryLost,
    /// A newer program changed the format of the stores: this program must not work on them any more.
    #[error(
        "{store} has format {found}, which a newer confab introduced, and this program knows formats up to {known}: run the newer version"
    )]
    Newer {
        /// Name of the store.
        store: &'static str,
        /// Its format.
        found: u64,
        /// This program's format.
        known: u64,
    },
    /// Unexpected failure: a bug, or an unexpected response of a store.
    #[error("{store} failed: {detail}")]
    Failed {
        /// Name of the store.
        store: &'static str,
        /// Details.
        detail: String,
    },
}

impl Error {
    /// Tells whether the same call may succeed later without any action.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
