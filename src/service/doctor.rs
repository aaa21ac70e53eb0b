//! Looking at everything that can be wrong with an installation.

use std::time::Duration;

use super::rebuild::REBUILD_LOCK;
use crate::stores::{Build, Check, JobQueue, Records, Result, SearchIndex, check::Verdict};

/// How long one store's examination may take; a file's integrity has a limit of its own below it.
const EXAMINATION: Duration = Duration::from_secs(75);

/// How long a look that concerns several stores may take: rows are counted one by one.
const LOOK: Duration = Duration::from_secs(30);

/// How often rows and documents are counted while they differ, as writes may go on, and how long apart: in a second a
/// document that was put can be found.
const COUNTS: usize = 3;
const APART: Duration = Duration::from_millis(1100);

/// What waits longer than this is not looked after.
const LATE_MS: u64 = 60_000;

/// Looks at each store, and at what they should agree on. Nothing is mended, but that a Redis without its scripts gets
/// them with a new epoch, as from anybody who asks it; a store that is out of reach is a problem,
/// and the others are looked at all the same. `batch_bytes` is how much a batch holds.
pub async fn examine(
    records: &dyn Records,
    queue: &dyn JobQueue,
    index: &dyn SearchIndex,
    batch_bytes: usize,
) -> Vec<Check> {
    let (stored, queued, indexed) = tokio::join!(
        in_time("rows", EXAMINATION, records.examine(batch_bytes)),
        in_time("jobs", EXAMINATION, queue.examine()),
        in_time("search index", EXAMINATION, index.examine()),
    );
    let mut checks = [stored, queued, indexed].concat();
    let explained = checks.iter().any(|check| check.verdict == Verdict::Problem);
    let across = tokio::join!(
        look("rows and documents", explained, documents(records, index)),
        look("outbox", explained, outbox(records)),
        look("search index build", explained, build(records)),
        look("waiting jobs", explained, waiting(queue)),
        look("dead letters", explained, dead_letters(queue)),
    );
    let across = [across.0, across.1, across.2, across.3, across.4];
    checks.extend(across.into_iter().flatten());
    checks
}

async fn in_time(
    name: &'static str,
    limit: Duration,
    examination: impl Future<Output = Vec<Check>>,
) -> Vec<Check> {
    let outcome = tokio::time::timeout(limit, examination).await;
    outcome.unwrap_or_else(|_| {
        let found = format!("no answer within {limit:?}");
        vec![Check::problem(
            name,
            found,
            "see whether the store is overloaded",
        )]
    })
}

/// `None` if a store did not answer, and what is wrong with it was told before.
async fn look(
    name: &'static str,
    explained: bool,
    looking: impl Future<Output = Result<Check>>,
) -> Option<Check> {
    match tokio::time::timeout(LOOK, looking).await {
        Ok(Err(_)) if explained => None,
        Ok(checked) => Some(Check::or_problem(
            name,
            checked,
            "see that the store runs, and what it says in its own log",
        )),
        Err(_) => Some(Check::warning(
            name,
            format!("no answer within {LOOK:?}"),
            "the store is large or busy: look again when it is not",
        )),
    }
}

async fn documents(records: &dyn Records, index: &dyn SearchIndex) -> Result<Check> {
    let name = "rows and documents";
    let (mut rows, mut documents) = (0, 0);
    for round in 0..COUNTS {
        if round > 0 {
            tokio::time::sleep(APART).await;
        }
        rows = records.totals().await?.messages;
        documents = index.count().await?;
        if rows == documents {
            return Ok(Check::ok(name, format!("{rows} each")));
        }
    }
    Ok(Check::warning(
        name,
        format!("{rows} rows and {documents} documents"),
        "`confab search verify` tells which; the clean job of a running confab mends them, and so does `confab search verify --fix`",
    ))
}

async fn outbox(records: &dyn Records) -> Result<Check> {
    let name = "outbox";
    let mut oldest = None;
    for round in 0..COUNTS {
        if round > 0 {
            tokio::time::sleep(APART).await;
        }
        let Some((lowest, highest)) = records.outbox_bounds().await? else {
            return Ok(Check::ok(name, "the index has been told everything"));
        };
        if oldest.is_some_and(|oldest| lowest > oldest) {
            let waiting = highest - lowest + 1;
            return Ok(Check::ok(
                name,
                format!("at most {waiting} changes wait, and are being told"),
            ));
        }
        oldest = Some(lowest);
    }
    Ok(Check::warning(
        name,
        "changes wait that the search index is not being told",
        "see that a confab with workers runs, and what it says of index_messages in its log",
    ))
}

async fn build(records: &dyn Records) -> Result<Check> {
    let name = "search index build";
    let Some(build) = records.build().await? else {
        return Ok(Check::ok(name, "none under way"));
    };
    let found = match build {
        Build::Wanted => "a new index is wanted, as the database was set back".to_owned(),
        Build::Filling { target, done, .. } => format!("{target} holds {done} messages"),
    };
    if records.lock(REBUILD_LOCK, Duration::ZERO).await?.is_none() {
        return Ok(Check::ok(name, format!("{found}, and is being filled")));
    }
    Ok(Check::warning(
        name,
        format!("{found}, and nobody is at it"),
        "a running confab with workers sees to it, and so does `confab search rebuild`",
    ))
}

async fn waiting(queue: &dyn JobQueue) -> Result<Check> {
    let name = "waiting jobs";
    let stats = queue.stats().await?;
    let waiting: u64 = stats.iter().map(|kind| kind.waiting).sum();
    let oldest = stats.iter().map(|kind| kind.oldest_ms).max().unwrap_or(0);
    let found = format!("{waiting}, the oldest for {} s", oldest / 1000);
    Ok(if oldest <= LATE_MS {
        Check::ok(name, found)
    } else {
        Check::warning(
            name,
            found,
            "see that a confab with workers runs, and that it reaches its stores; `confab jobs stats` tells which jobs",
        )
    })
}

async fn dead_letters(queue: &dyn JobQueue) -> Result<Check> {
    let name = "dead letters";
    let dead: u64 = queue.stats().await?.iter().map(|kind| kind.dead).sum();
    Ok(if dead == 0 {
        Check::ok(name, "none")
    } else {
        Check::warning(
            name,
            format!("{dead} accepted writes could not be stored"),
            "`confab jobs list` tells why; `confab jobs retry` tries them again",
        )
    })
}
