//! How far something long has come.

/// What there is to tell while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many rows or documents have been gone through.
    pub done: u64,
    /// How many there were at the start; what is written meanwhile comes on top.
    pub total: u64,
}

/// Who is told.
pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Nobody.
pub fn unwatched(_: Progress) {}
