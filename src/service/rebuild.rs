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

use super::progress::{Progress, Watch};
use crate::{
    domain::MessageKey,
    failpoints,
    stores::{Build, Error, Records, Result, SearchIndex},
};

/// The lock that the index workers hold, and that the swap needs.
pub const INDEX_LOCK: &str = "index";

/// The lock that a rebuild holds: there is one at a time.
pub const REBUILD_LOCK: &str = "rebuild";

/// How long to wait for it: as long as it takes a lock that was let go of to be free.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How long the swap waits for it. Index workers let go of it about every second.
const SWAP_WAIT: Duration = Duration::from_secs(30);

/// How many rows one step reads.
const PAGE: usize = 1000;

/// What became of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Messages that were gone through, those before the resumption too.
    pub messages: u64,
    /// How many of them another rebuild had gone through that did not end; 0 if this one began anew.
    pub resumed_at: u64,
    /// Messages that the index refuses for good; they are in the log.
    pub refused: u64,
}

/// Builds a new index and puts it into use, or goes on with one that is unfinished.
///
/// # Errors
///
/// Besides outages: [`Error::Unavailable`] while another rebuild is running; [`Error::Fenced`] if another one took over,
/// or if what was put so far is no longer to be trusted.
pub async fn rebuild(
    records: &dyn Records,
    index: &dyn SearchIndex,
    watch: Watch<'_>,
) -> Result<Rebuilt> {
    let Some(mut alone) = records.lock(REBUILD_LOCK, LOCK_WAIT).await? else {
        return Err(unavailable("another rebuild is running"));
    };
    let total = records.totals().await?.messages;
    let (target, mut after, mut done) = begin(records, index).await?;
    let (resumed_at, mut refused) = (done, 0);
    watch(Progress { done, total });
    loop {
        let page = records.scan_messages(after, PAGE).await?;
        let put = index.put(Some(&target), &page).await;
        if matches!(put, Err(Error::IndexMissing(_))) {
            records.end_build(&target).await?;
        }
        for (key, reason) in put? {
            tracing::error!(%key, reason, "the search index refuses a message");
            refused += 1;
        }
        let Some(last) = page.last().map(|message| message.key) else {
            break;
        };
        done += page.len() as u64;
        if !records.advance_build(&target, last, done).await? {
            return Err(overtaken());
        }
        failpoints::hit("between_rebuild_pages");
        watch(Progress { done, total });
        after = Some(last);
        if page.len() < PAGE {
            break;
        }
    }
    let Some(_swapping) = records.lock(INDEX_LOCK, SWAP_WAIT).await? else {
        return Err(unavailable("the index worker does not let go of its lock"));
    };
    // Whoever took the lock since may have set a target of his own, and this index has missed changes then; or a new
    // one is wanted.
    let filling = records.build().await?;
    let ours = matches!(filling, Some(Build::Filling { target: now, .. }) if now == target);
    if !ours || !alone.is_held().await {
        return Err(overtaken());
    }
    index.swap(&target).await?;
    records.end_build(&target).await?;
    Ok(Rebuilt {
        messages: done,
        resumed_at,
        refused,
    })
}

/// The index to fill, the last message that is in it, and how many there are until there.
async fn begin(
    records: &dyn Records,
    index: &dyn SearchIndex,
) -> Result<(String, Option<MessageKey>, u64)> {
    if let Some(Build::Filling { target, last, done }) = records.build().await?
        // Else it was deleted, or begun by a program that made it otherwise; the swap removes what is left of it.
        && index.fits(&target).await?
    {
        return Ok((target, last, done));
    }
    let target = index.create().await?;
    records.begin_build(&target).await?;
    Ok((target, None, 0))
}

fn unavailable(detail: &str) -> Error {
    Error::Unavailable {
        store: "the search index",
        detail: detail.into(),
    }
}

fn overtaken() -> Error {
    Error::Fenced("another rebuild took over, or a new index is wanted: start it again".into())
}
