//! Building a new search index from the rows, without interrupting reads and writes.
//!
//! While the build target is set, the index workers put every change into it too; and what was stored before it was set
//! is found by reading all rows from then on. So at the end the new index lacks nothing, and replaces the old one in
//! one step.
//!
//! This also holds for each row by itself, so an interrupted rebuild resumes at its cursor: rows before the cursor were
//! put after the target was set, and later changes of them went into the target too, unless the target was cleared.
//! Clearing the target also removes the cursor.

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

/// Time to wait for the lock, which covers the release of a previous holder.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Time that the swap waits for [`INDEX_LOCK`]. Index workers release it about every second.
const SWAP_WAIT: Duration = Duration::from_secs(30);

/// Rows that one step reads.
const PAGE: usize = 1000;

/// Outcome of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Messages that were gone through, those before the resumption too.
    pub messages: u64,
    /// Messages that an earlier, interrupted rebuild had processed; 0 if this one started from the beginning.
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
            return Err(unavailable("the index worker did not release its lock"));
        };
        // Another rebuild may have taken the lock and set its own target, so this index has missed changes; or a new
        // one is requested.
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
            // Otherwise it was deleted, or an older program created it in another way; the swap deletes it.
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

    /// Puts every row into the index. Returns the number of rejected messages.
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
                tracing::error!(%key, reason, "Search index rejected a message; it cannot be found by search");
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

    /// Tells whether an index must be built: it is missing or outdated, a new one is requested, or a rebuild was
    /// interrupted. A rebuild that is running holds its lock.
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
    Error::Fenced(
        "another rebuild took over, or a new index is needed: start the rebuild again".into(),
    )
}
