//! What goes wrong in a store.

use thiserror::Error;

/// The outcome of a call to a store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a store did not do what it was asked for. Workers decide by the kind what becomes of the batch in hand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An outage: nobody's fault, worth the same call again later. A write may or may not have happened.
    #[error("{store} is out of reach: {detail}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What happened.
        detail: String,
    },
    /// The store refuses this data, and would again.
    #[error("{store} refuses the data: {detail}")]
    Rejected {
        /// Which store.
        store: &'static str,
        /// What it objects to.
        detail: String,
    },
    /// The queue is at one of its bounds; nothing was changed.
    #[error("the queue is full: {0}")]
    Full(String),
    /// The batch is no longer the caller's to store or settle: its lease ended, or the queue began a new epoch.
    #[error("the batch is no longer ours: {0}")]
    Fenced(String),
    /// There is no search index yet, or no more.
    #[error(
        "the search index {0} does not exist: `confab search rebuild` makes it from the database"
    )]
    IndexMissing(String),
    /// What should not happen: a bug, or a store that answers what it never should.
    #[error("{store} failed: {detail}")]
    Failed {
        /// Which store.
        store: &'static str,
        /// What happened.
        detail: String,
    },
}

impl Error {
    /// Tells whether the same call may succeed later, by nobody's doing.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
