//! Filling a new search index from the rows while everything goes on.
//!
//! While the build target is set, the index workers put every change into it too; and what was stored before it was set
//! is found by reading all rows from then on. So at the end the new index lacks nothing, and takes the old one's place
//! in one step.

use std::time::Duration;

use crate::stores::{Error, Records, Result, SearchIndex};

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

/// Builds a new index and puts it into use; tells the number of messages in it. `progress` is told that number as it
/// grows.
pub async fn rebuild(
    records: &dyn Records,
    index: &dyn SearchIndex,
    progress: impl Fn(usize) + Send + Sync,
) -> Result<usize> {
    let Some(mut alone) = records.lock(REBUILD_LOCK, LOCK_WAIT).await? else {
        return Err(Error::Unavailable {
            store: "the search index",
            detail: "another rebuild is running".into(),
        });
    };
    // What a rebuild that died was filling has got every change since: it is gone through once more, and is whole then.
    let target = match records.build_target().await? {
        Some(unfinished) => unfinished,
        None => {
            let target = index.create().await?;
            records.set_build_target(Some(&target)).await?;
            target
        }
    };
    let mut messages = 0;
    let mut after = None;
    loop {
        let page = records.scan_messages(after, PAGE).await?;
        let put = index.put(Some(&target), &page).await;
        if matches!(put, Err(Error::IndexMissing(_))) {
            records.set_build_target(None).await?;
        }
        for (key, reason) in put? {
            tracing::error!(%key, reason, "the search index refuses a message");
        }
        messages += page.len();
        progress(messages);
        after = page.last().map(|message| message.key);
        if page.len() < PAGE {
            break;
        }
    }
    let Some(_swapping) = records.lock(INDEX_LOCK, SWAP_WAIT).await? else {
        return Err(Error::Unavailable {
            store: "the search index",
            detail: "the index worker does not let go of its lock".into(),
        });
    };
    // Whoever took the lock since has set a target of his own, and this index has missed changes.
    if !alone.is_held().await {
        return Err(Error::Fenced(
            "the connection that held the rebuild's lock broke: start it again".into(),
        ));
    }
    index.swap(&target).await?;
    records.set_build_target(None).await?;
    Ok(messages)
}
