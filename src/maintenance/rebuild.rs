//! Filling a new search index from the rows while everything goes on.
//!
//! While the build target is set, the index workers put every change into it too; and what was stored before it was set
//! is found by reading all rows from then on. So at the end the new index lacks nothing, and takes the old one's place
//! in one step.
//!
//! That also holds for each row by itself, so a rebuild that died is gone on with where it was: the rows before its
//! cursor were put after the target was set, and what has changed them since went into the target as well, as nobody
//! has cleared it. If somebody has, the cursor is gone with it.

use std::time::Duration;

use serde::Serialize;

use super::{Maintenance, Progress, Watch};
use crate::{
    domain::MessageKey,
    failpoints,
    stores::{Build, Error, IndexState, Result},
};

/// The lock that the index workers hold, and that the swap needs.
pub const INDEX_LOCK: &str = "index";

/// The lock of a rebuild: there is one at a time.
const REBUILD_LOCK: &str = "rebuild";

/// How long to wait for it: as long as it takes a lock that was released to be free.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How long the swap waits for [`INDEX_LOCK`]. Index workers release it about every second.
const SWAP_WAIT: Duration = Duration::from_secs(30);

/// Rows that one step reads.
const PAGE: usize = 1000;

/// Outcome of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Messages that were gone through, those before the resumption too.
    pub messages: u64,
    /// How many of them an earlier rebuild had gone through that did not end; 0 if this one began anew.
    pub resumed_at: u64,
    /// Messages that the index refuses permanently; they are in the log.
    pub refused: u64,
}

/// An index that is being filled.
struct Target {
    name: String,
    /// The last message that is in it.
    last: Option<MessageKey>,
    /// Number of messages until there.
    done: u64,
}

impl Maintenance {
    /// Builds a new index and puts it into use, or resumes one that is unfinished.
    ///
    /// # Errors
    ///
    /// Besides outages: [`Error::Unavailable`] while another rebuild is running; [`Error::Fenced`] if another one took
    /// over, or if what was put so far is no longer to be trusted.
    pub async fn rebuild_index(&self, watch: Watch<'_>) -> Result<Rebuilt> {
        let Some(mut lock) = self.backend.lock(REBUILD_LOCK, LOCK_WAIT).await? else {
            return Err(unavailable("another rebuild is running"));
        };
        let mut target = self.begin_or_resume().await?;
        let resumed_at = target.done;
        let refused = self.fill(&mut target, watch).await?;
        let Some(_swapping) = self.backend.lock(INDEX_LOCK, SWAP_WAIT).await? else {
            return Err(unavailable("the index worker does not let go of its lock"));
        };
        // Another rebuild may have taken the lock since and set a target of its own, and this index has missed changes
        // then; or a new one is wanted.
        let build = self.backend.build().await?;
        let ours = matches!(build, Some(Build::Filling { target: now, .. }) if now == target.name);
        if !ours || !lock.is_held().await {
            return Err(superseded());
        }
        self.backend.finish_build(&target.name).await?;
        Ok(Rebuilt {
            messages: target.done,
            resumed_at,
            refused,
        })
    }

    async fn begin_or_resume(&self) -> Result<Target> {
        if let Some(Build::Filling { target, last, done }) = self.backend.build().await?
            // Else it was deleted, or begun by a program that made it otherwise; the swap removes what is left of it.
            && self.backend.can_resume_build(&target).await?
        {
            let name = target;
            return Ok(Target { name, last, done });
        }
        Ok(Target {
            name: self.backend.begin_build().await?,
            last: None,
            done: 0,
        })
    }

    /// Puts every row into the index; returns how many messages it refuses.
    async fn fill(&self, target: &mut Target, watch: Watch<'_>) -> Result<u64> {
        let backend = &self.backend;
        let total = backend.totals().await?.messages;
        let mut refused = 0;
        loop {
            let done = target.done;
            watch(Progress { done, total });
            let page = backend.scan_rows(target.last, PAGE).await?;
            let put = backend.put_documents(Some(&target.name), &page).await;
            if matches!(put, Err(Error::IndexMissing(_))) {
                backend.abandon_build(&target.name).await?;
            }
            for (key, reason) in put? {
                tracing::error!(%key, reason, "the search index refuses a message");
                refused += 1;
            }
            let Some(last) = page.last().map(|message| message.key) else {
                return Ok(refused);
            };
            let done = done + page.len() as u64;
            if !backend.advance_build(&target.name, last, done).await? {
                return Err(superseded());
            }
            failpoints::hit("between_rebuild_pages");
            (target.last, target.done) = (Some(last), done);
            if page.len() < PAGE {
                watch(Progress { done, total });
                return Ok(refused);
            }
        }
    }

    /// Tells whether an index is to be built: there is none, an older program made it, a new one is wanted, or a rebuild
    /// left one unfinished. A rebuild that is running holds its own lock.
    pub async fn needs_rebuild(&self) -> Result<bool> {
        let incomplete = self.backend.build().await?.is_some() && self.rebuild_is_idle().await?;
        Ok(match self.backend.index_state().await? {
            IndexState::Missing | IndexState::Outdated => true,
            IndexState::Current => incomplete,
        })
    }

    /// Tells whether no rebuild is running.
    pub(super) async fn rebuild_is_idle(&self) -> Result<bool> {
        let lock = self.backend.lock(REBUILD_LOCK, Duration::ZERO).await?;
        Ok(lock.is_some())
    }
}

fn unavailable(detail: &str) -> Error {
    Error::Unavailable {
        store: "the search index",
        detail: detail.into(),
    }
}

fn superseded() -> Error {
    Error::Fenced("another rebuild took over, or a new index is wanted: start it again".into())
}
