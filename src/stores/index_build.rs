//! Building a search index beside the one in use.

use super::{Backend, Result};
use crate::domain::{MessageKey, Revision};

/// A search index that is to replace the one in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// Requested, not started.
    Wanted,
    /// Being filled from the rows, in key order.
    Filling {
        /// Name of the index.
        target: String,
        /// The last message that is in it; `None` before the first.
        last: Option<MessageKey>,
        /// Number of messages until there.
        done: u64,
    },
}

impl Build {
    /// Reads the stored form: one that is only wanted has no name.
    pub(super) fn read(target: String, last: Option<&str>, done: u64) -> Self {
        if target.is_empty() {
            return Self::Wanted;
        }
        let last = last.and_then(MessageKey::parse);
        let done = if last.is_some() { done } else { 0 };
        Self::Filling { target, last, done }
    }
}

/// State of the index in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// There is none.
    Missing,
    /// An older program made it, in another way: it should be replaced.
    Outdated,
    /// Same definition as this program's, or a newer program's.
    Current,
}

impl Backend {
    /// State of the index in use.
    pub async fn index_state(&self) -> Result<IndexState> {
        dispatch!(self.index_state(), services: elasticsearch.state)
    }

    /// The build that is wanted or under way, if any. One under way may have lost its builder.
    pub async fn build(&self) -> Result<Option<Build>> {
        dispatch!(self.build(), services: mysql.build)
    }

    /// Creates an empty index and begins to fill it, instead of what was being filled: from now on every change goes into
    /// it too. Returns its name. If no index is in use, it is put into use at once.
    pub async fn begin_build(&self) -> Result<String> {
        dispatch!(self.begin_build(), services: begin_build)
    }

    /// Tells whether a build of `target` can be resumed: it exists with this program's definition.
    pub async fn can_resume_build(&self, target: &str) -> Result<bool> {
        dispatch!(self.can_resume_build(target), services: elasticsearch.fits)
    }

    /// Keeps the progress of a build: the last message that was put, and how many. False if `target` is no longer what is
    /// being filled: it has missed changes then.
    pub async fn advance_build(&self, target: &str, last: MessageKey, done: u64) -> Result<bool> {
        dispatch!(self.advance_build(target, last, done), services: mysql.advance_build)
    }

    /// Puts `target` into use in one step, deletes every other index of this installation, and ends the build.
    pub async fn finish_build(&self, target: &str) -> Result<()> {
        dispatch!(self.finish_build(target), services: finish_build)
    }

    /// Ends the build of `target`, if that is what is being filled.
    pub async fn abandon_build(&self, target: &str) -> Result<()> {
        dispatch!(self.abandon_build(target), services: mysql.end_build)
    }

    /// Recovers from a database that was restored from a backup; `seen` is a revision that it lost. Raises revisions
    /// above it, and requests an index that is built from the rows only.
    pub async fn set_back(&self, seen: Revision) -> Result<()> {
        dispatch!(self.set_back(seen), services: set_back)
    }
}
