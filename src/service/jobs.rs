//! Seeing to jobs: what operators do on the command line and on the admin listener.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::{
    domain::Revision,
    stores::{self, JobInfo, JobQueue, JobState},
};

/// Dead letters that are read at once to be retried.
const PAGE: usize = 1000;

/// Why a job was not seen to. Nothing was changed.
#[derive(Debug, Error)]
pub enum Error {
    /// The queue's own.
    #[error(transparent)]
    Store(#[from] stores::Error),
    /// There is no such job.
    #[error("there is no job {0}: it is stored, was killed, or never was")]
    Missing(Revision),
    /// The job is not in a state for this.
    #[error("job {id} is {}: {rule}", state.name())]
    Refused {
        /// Which job.
        id: Revision,
        /// Its state.
        state: JobState,
        /// What states it would have to be in.
        rule: &'static str,
    },
}

/// One job, with its payload.
///
/// # Errors
///
/// That there is none.
pub async fn show(queue: &dyn JobQueue, id: Revision) -> Result<JobInfo, Error> {
    queue.job(id).await?.ok_or(Error::Missing(id))
}

/// Has a dead letter or a delayed job tried again, as if it had never failed.
///
/// # Errors
///
/// That it is neither.
pub async fn retry(queue: &dyn JobQueue, id: Revision) -> Result<(), Error> {
    if queue.retry(id).await? {
        return Ok(());
    }
    refuse(queue, id, "only dead letters and delayed jobs are retried").await
}

/// Forgets a dead letter for good: what it would have written is lost.
///
/// # Errors
///
/// That it is none.
pub async fn kill(queue: &dyn JobQueue, id: Revision) -> Result<(), Error> {
    if queue.kill(id).await? {
        return Ok(());
    }
    refuse(queue, id, "only dead letters can be killed").await
}

/// Retries the dead letters that there are now, each once: one that fails again is behind by then. Adds to `retried` as
/// it goes, so that it can be called again after an outage.
///
/// # Errors
///
/// The queue's.
pub async fn retry_all(queue: &dyn JobQueue, retried: &AtomicU64) -> stores::Result<()> {
    let dead: u64 = queue.stats().await?.iter().map(|kind| kind.dead).sum();
    let (mut seen, mut after) = (0, None);
    while seen < dead {
        let page = queue.jobs(JobState::Dead, None, after, PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.id);
        for job in &page {
            let done = u64::from(queue.retry(job.id).await?);
            retried.fetch_add(done, Ordering::Relaxed);
            seen += done;
        }
    }
    Ok(())
}

async fn refuse(queue: &dyn JobQueue, id: Revision, rule: &'static str) -> Result<(), Error> {
    let state = show(queue, id).await?.state;
    Err(Error::Refused { id, state, rule })
}
