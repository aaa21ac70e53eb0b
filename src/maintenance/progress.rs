//! Progress of long operations.

/// Progress of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Rows or documents processed so far.
    pub done: u64,
    /// Total at the start; concurrent writes may exceed it.
    pub total: u64,
}

/// Callback that receives the progress.
pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Ignores the progress.
pub fn unwatched(_: Progress) {}
