//! Seeing to jobs.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::Maintenance;
use crate::{
    domain::{Action, Kind, Revision},
    stores::{self, JobInfo, JobState, KindStats},
};

/// Dead letters that are read at once to be retried.
const PAGE: usize = 1000;

const NOT_DEAD: &str = "only dead letters can be discarded";

/// Why a job was not seen to. Nothing was changed.
#[derive(Debug, Error)]
pub enum JobError {
    /// The queue's own error.
    #[error(transparent)]
    Store(#[from] stores::Error),
    /// There is no such job.
    #[error("there is no job {0}: it was stored or discarded, or it never existed")]
    Missing(Revision),
    /// The job is not in a state for this.
    #[error("job {id} is {}: {rule}", state.name())]
    Refused {
        /// The job.
        id: Revision,
        /// Its state.
        state: JobState,
        /// The states that it would have to be in.
        rule: &'static str,
    },
}

impl Maintenance {
    /// Counts of every kind.
    pub async fn job_stats(&self) -> stores::Result<Vec<KindStats>> {
        self.backend.stats().await
    }

    /// Lists jobs: see [`Backend::jobs`](stores::Backend::jobs).
    pub async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> stores::Result<Vec<JobInfo>> {
        self.backend.jobs(state, kind, after, limit).await
    }

    /// Returns one job, with its payload.
    ///
    /// # Errors
    ///
    /// [`JobError::Missing`] if there is none.
    pub async fn job(&self, id: Revision) -> Result<JobInfo, JobError> {
        self.backend.job(id).await?.ok_or(JobError::Missing(id))
    }

    /// Moves a dead or delayed job back to its queue and resets its attempts.
    ///
    /// # Errors
    ///
    /// [`JobError::Refused`] if it is neither.
    pub async fn retry_job(&self, id: Revision) -> Result<(), JobError> {
        if self.backend.retry(id).await? {
            return Ok(());
        }
        self.refuse(id, "only dead letters and delayed jobs are retried")
            .await
    }

    /// Discards a dead letter permanently. The write it holds is lost. A deletion cannot be discarded: clients that follow the
    /// changes have dropped what it deletes.
    ///
    /// # Errors
    ///
    /// [`JobError::Refused`] if it is none, or a deletion.
    pub async fn discard_job(&self, id: Revision) -> Result<(), JobError> {
        if self.backend.discard(id).await? {
            return Ok(());
        }
        Self::check_discardable(&self.job(id).await?)?;
        // It became a dead letter meanwhile.
        self.refuse(id, NOT_DEAD).await
    }

    /// Checks that a job can be discarded.
    ///
    /// # Errors
    ///
    /// [`JobError::Refused`] otherwise.
    pub fn check_discardable(job: &JobInfo) -> Result<(), JobError> {
        let (id, state) = (job.id, job.state);
        let action = Kind::from_name(&job.kind).map(Kind::action);
        let rule = match (state, action) {
            (JobState::Dead, Some(Action::Delete)) => "a deletion can only be retried",
            (JobState::Dead, _) => return Ok(()),
            _ => NOT_DEAD,
        };
        Err(JobError::Refused { id, state, rule })
    }

    /// Retries the current dead letters, each once: a job that fails again has a higher position by then. Adds to
    /// `retried` after each job, so that it can be called again after an outage.
    pub async fn retry_all_jobs(&self, retried: &AtomicU64) -> stores::Result<()> {
        let dead: u64 = self.job_stats().await?.iter().map(|kind| kind.dead).sum();
        let (mut seen, mut after) = (0, None);
        while seen < dead {
            let page = self.jobs(JobState::Dead, None, after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.id);
            for job in &page {
                let done = u64::from(self.backend.retry(job.id).await?);
                retried.fetch_add(done, Ordering::Relaxed);
                seen += done;
            }
        }
        Ok(())
    }

    /// Pauses or resumes a kind: see [`Backend::set_paused`](stores::Backend::set_paused).
    pub async fn set_paused(&self, kind: Kind, paused: bool) -> stores::Result<()> {
        self.backend.set_paused(kind, paused).await
    }

    async fn refuse(&self, id: Revision, rule: &'static str) -> Result<(), JobError> {
        let state = self.job(id).await?.state;
        Err(JobError::Refused { id, state, rule })
    }
}
