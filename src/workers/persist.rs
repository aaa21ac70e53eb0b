//! Claims, stores and acknowledges jobs: one worker for each kind.

use std::time::Duration;

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};
use tracing::{Level, debug, enabled, error, warn};

use super::{
    Context,
    batch_size::BatchSize,
    runner::{Pause, Step, Worker, failpoint, jitter},
};
use crate::{
    domain::{Action, Job, JobOrigin, Kind},
    stores::{Batch, ClaimLimits, Error, Lease, Result},
    telemetry::metrics::JobMetrics,
};

/// Maximum number of batches that one step stores.
const BATCHES: usize = 16;

/// A batch, and when it was claimed.
struct Claimed {
    batch: Batch,
    at: Instant,
}

/// The worker of one kind of job.
pub struct Persist {
    context: Context,
    kind: Kind,
    counts: JobMetrics,
    batch_size: BatchSize,
}

impl Persist {
    /// The worker of `kind`.
    pub fn new(context: &Context, kind: Kind) -> Self {
        Self {
            context: context.clone(),
            kind,
            counts: JobMetrics::new(kind.name()),
            batch_size: BatchSize::new(context.settings.batch),
        }
    }

    /// Leases the next batch to this process.
    async fn claim(&self) -> Result<Option<Claimed>> {
        let settings = &self.context.settings;
        let limits = ClaimLimits {
            jobs: self.batch_size.jobs,
            bytes: settings.batch_bytes,
            lease: settings.lease,
        };
        let Some(batch) = self.context.backend.claim(self.kind, &limits).await? else {
            return Ok(None);
        };
        self.counts.batch_size.record(batch.jobs.len() as f64);
        let at = Instant::now();
        failpoint("claimed").await?;
        Ok(Some(Claimed { batch, at }))
    }

    /// Stores a batch, and keeps its lease meanwhile.
    async fn work(&self, Claimed { batch, at }: Claimed) -> Result<()> {
        let lease = batch.lease.clone();
        tokio::select! {
            outcome = self.store(batch) => outcome,
            lost = self.keep(&lease, at) => Err(lost),
        }
    }

    /// Stores a batch, and settles each of its jobs.
    async fn store(&self, batch: Batch) -> Result<()> {
        if enabled!(Level::DEBUG) {
            let requests = batch
                .jobs
                .iter()
                .filter_map(|job| job.origin.request.as_deref());
            let requests = requests.collect::<Vec<_>>().join(" ");
            debug!(jobs = batch.jobs.len(), requests, "Claimed a batch");
        }
        let Batch { lease, jobs } = batch;
        let (good, unreadable): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.change.is_ok());
        for job in &unreadable {
            let reason = job.change.as_ref().err().cloned().unwrap_or_default();
            self.fail(&lease, job, &reason).await?;
        }
        // The parts still to be stored, the first one last.
        let mut parts = vec![good.as_slice()];
        while let Some(jobs) = parts.pop() {
            if jobs.is_empty() {
                continue;
            }
            let changes = jobs
                .iter()
                .filter_map(|job| job.change.clone().ok())
                .collect();
            let keys = jobs.iter().filter_map(Job::keyed_creation).collect();
            match self.context.backend.store(&lease, changes, keys).await {
                Ok(()) => {
                    self.context.counters.stored(jobs.len());
                    failpoint("before_acknowledge").await?;
                    self.settle(|| self.context.backend.acknowledge(&lease, jobs))
                        .await?;
                    self.counts.done.increment(jobs.len() as u64);
                }
                // One of them spoils the others: find it.
                Err(Error::Rejected { .. }) if jobs.len() > 1 => {
                    let (first, second) = jobs.split_at(jobs.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
                Err(Error::Rejected { detail, .. }) => {
                    self.fail(&lease, &jobs[0], &detail).await?;
                }
                Err(error) => {
                    self.settle(|| self.context.backend.release(&lease)).await?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn fail(&self, lease: &Lease, job: &Job, reason: &str) -> Result<()> {
        let settings = &self.context.settings;
        let tries = job.tries + 1;
        let retry_after = (tries < settings.tries).then(|| {
            let full = settings.retry * 2_u32.saturating_pow(job.tries.min(16));
            jitter(full.min(settings.retry_max))
        });
        let JobOrigin { request, key, user } = &job.origin;
        let (request, key, user) = (request.as_deref(), key.as_deref(), user.as_deref());
        self.counts.failed.increment(1);
        match retry_after {
            Some(_) => {
                warn!(job = %job.revision, request, key, user, tries, reason, "Job failed; it will be retried")
            }
            None => {
                error!(job = %job.revision, request, key, user, tries, reason, "Job failed permanently and became a dead letter; see `confab jobs show`")
            }
        }
        self.settle(|| self.context.backend.fail(lease, job, reason, retry_after))
            .await?;
        let became = match retry_after {
            Some(_) => &self.counts.retried,
            None => &self.counts.dead,
        };
        became.increment(1);
        Ok(())
    }

    /// Retries a call that settles jobs during an outage of the queue, so that stored jobs are not claimed again. After
    /// the lease expired, the queue returns an error.
    async fn settle<'a, F>(&'a self, call: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + 'a,
    {
        let mut pause = Pause::default();
        let deadline = Instant::now() + self.context.settings.lease;
        loop {
            match call().await {
                Err(error @ Error::Unavailable { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(pause.next(&error)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Extends the lease, which began at `since`, until it is dropped. Returns when the lease is lost.
    async fn keep(&self, lease: &Lease, since: Instant) -> Error {
        let time = self.context.settings.lease;
        let mut due = since + time / 3;
        loop {
            tokio::time::sleep_until(due).await;
            match self.context.backend.extend(lease, time).await {
                Err(lost @ Error::Fenced(_)) => return lost,
                Err(error) => warn!(%error, "Failed to extend a lease; retrying before it expires"),
                Ok(()) => {}
            }
            due = Instant::now() + time / 3;
        }
    }
}

#[async_trait]
impl Worker for Persist {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn wakeup(&self) -> Option<&Notify> {
        Some(self.context.backend.wakeups().job(self.kind))
    }

    /// Deletions are rare, and are read at once: another process may store them a little later.
    fn poll_interval(&self) -> Duration {
        match self.kind.action() {
            Action::Create | Action::Update => self.context.settings.poll,
            Action::Delete => self.context.settings.poll * 5,
        }
    }

    /// Stores batch after batch while they come full, and claims the next one meanwhile: then Redis and the database
    /// need not wait for each other. Of what comes in small batches more comes together while one is stored.
    async fn step(&mut self) -> Result<Step> {
        let mut claimed = self.claim().await?;
        if claimed.is_none() {
            return Ok(Step::Idle);
        }
        for left in (0..BATCHES).rev() {
            let Some(batch) = claimed.take() else {
                break;
            };
            self.context.process.beat(self.name());
            let jobs = batch.batch.jobs.len();
            let has_more =
                left > 0 && jobs >= self.batch_size.jobs && !self.context.stop.is_cancelled();
            let next = async {
                if has_more {
                    self.claim().await
                } else {
                    Ok(None)
                }
            };
            let work = async {
                self.work(batch).await?;
                failpoint("between_batches").await
            };
            let (worked, next) = tokio::join!(work, next);
            self.batch_size.adapt(jobs, &worked);
            claimed = match (worked, next) {
                (Ok(()), next) => next?,
                (Err(error), next) => {
                    if let Ok(Some(next)) = next {
                        // Otherwise its jobs wait for the end of the lease.
                        let released = self.context.backend.release(&next.batch.lease).await;
                        released.unwrap_or_else(|error| warn!(%error, "Failed to release a batch; its jobs are recovered when the lease expires"));
                    }
                    return Err(error);
                }
            };
        }
        Ok(Step::Worked)
    }
}
