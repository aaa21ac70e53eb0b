//! Jobs as workers see them: claim, store, settle.

use std::{collections::BTreeMap, time::Duration};

#[cfg(doc)]
use super::Error;
use super::{Backend, Result};
use crate::domain::{Change, Job, KeyedCreation, Kind};

/// Jobs that were claimed together. They stay the claimer's while it extends the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The claim.
    pub lease: Lease,
    /// Jobs in order of acceptance; never empty.
    pub jobs: Vec<Job>,
}

/// Claim of a batch, and the fence that prevents a claimer from storing after its lease expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Kind of the jobs, which determines their queue.
    pub kind: Kind,
    /// Random, unique for each claim.
    pub token: String,
    /// On the services, the epoch under which the jobs were claimed: a newer one fences the batch. The embedded backend
    /// has none; there the lease's own row is the fence.
    pub epoch: Option<u64>,
}

/// Bounds of one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Maximum number of jobs.
    pub jobs: usize,
    /// Maximum size of the payloads in bytes. A claim holds at least one job.
    pub bytes: usize,
    /// Duration of the lease unless it is extended.
    pub lease: Duration,
}

/// Jobs of one kind that were taken back from dead claimers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The kind.
    pub kind: Kind,
    /// Jobs that they held.
    pub jobs: usize,
    /// Jobs that became dead letters, because three claimers crashed while they held them.
    pub dead: usize,
}

impl Recovered {
    /// Adds up claims by kind, and leaves out kinds without any job.
    pub fn sum(claims: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sums: BTreeMap<Kind, Self> = BTreeMap::new();
        for claim in claims.into_iter().filter(|claim| claim.jobs > 0) {
            sums.entry(claim.kind)
                .and_modify(|sum| {
                    sum.jobs += claim.jobs;
                    sum.dead += claim.dead;
                })
                .or_insert(claim);
        }
        sums.into_values().collect()
    }
}

impl Backend {
    /// Claims waiting jobs of `kind`: returned jobs first, then the oldest; `None` if none waits, or the kind is paused.
    pub async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>> {
        dispatch!(self.claim(kind, limits), services: redis.claim)
    }

    /// Stores changes of a claim, all or none, with all that follows from them. Storing is idempotent, in any order: the
    /// newer revision wins, the earlier creation time stays.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if the claim no longer holds, [`Error::Rejected`] if a change cannot be stored.
    pub async fn store(
        &self,
        lease: &Lease,
        changes: Vec<Change>,
        keys: Vec<KeyedCreation>,
    ) -> Result<()> {
        dispatch!(self.store(lease, changes, keys), services: mysql.store)?;
        self.wakeups().stored(lease.kind);
        Ok(())
    }

    /// Restarts the lease's time.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if the lease is over.
    pub async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        dispatch!(self.extend(lease, time), services: redis.extend)
    }

    /// Removes jobs that are stored.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if the lease is over: another claimer has the jobs.
    pub async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()> {
        dispatch!(self.acknowledge(lease, jobs), services: redis.acknowledge)
    }

    /// Records that a job failed by its own fault: it is retried after `retry_after`, or becomes a readable dead
    /// letter.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if the lease is over.
    pub async fn fail(
        &self,
        lease: &Lease,
        job: &Job,
        error: &str,
        retry_after: Option<Duration>,
    ) -> Result<()> {
        dispatch!(self.fail(lease, job, error, retry_after), services: redis.fail)
    }

    /// Returns the jobs that the lease still holds to the front of their queue.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if the lease is over.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        dispatch!(self.release(lease), services: redis.release)
    }

    /// Takes back jobs whose leases are over. A job that this happens to twice is claimed alone from then on, and the
    /// third time becomes a dead letter.
    pub async fn recover(&self) -> Result<Vec<Recovered>> {
        dispatch!(self.recover(), services: redis.recover)
    }
}
