//! Jobs as operators see them: count, list, retry, discard, pause.

use serde::Serialize;

use super::{Backend, Result};
use crate::domain::{
    JobOrigin, Kind, Revision, Timestamp,
    serialize::{as_text, as_time, as_time_if_any},
};

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Not claimed yet.
    Waiting,
    /// Claimed by a worker.
    Leased,
    /// Failed, to be tried again later.
    Delayed,
    /// Failed for good: a dead letter.
    Dead,
}

impl JobState {
    /// All states, in the order in which a job may pass through them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Leased, Self::Delayed, Self::Dead];

    /// Name in the stores and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Delayed => "delayed",
            Self::Dead => "dead",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A job as it is at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobInfo {
    /// Position in the order of all writes.
    #[serde(serialize_with = "as_text")]
    pub id: Revision,
    /// Name of its kind; another version may have queued kinds that this program does not know.
    pub kind: String,
    /// State.
    pub state: JobState,
    /// Key of the written entity: `application`, `application:chat` or `application:chat:message`.
    pub target: String,
    /// Time of acceptance.
    #[serde(serialize_with = "as_time")]
    pub accepted_at: Timestamp,
    /// Time of the next attempt of a delayed job, or of the last failure of a dead letter.
    #[serde(serialize_with = "as_time_if_any")]
    pub due: Option<Timestamp>,
    /// Request that wrote it, and who sent that, as far as known.
    #[serde(flatten)]
    pub origin: JobOrigin,
    /// Number of failures caused by the job itself.
    pub tries: u32,
    /// Number of claimers that crashed while they held it.
    pub crashes: u32,
    /// Text of the last failure.
    pub error: Option<String>,
    /// Complete payload with all texts. Lists leave it out; only the read of a single job returns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Counts of the jobs of a kind, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct KindStats {
    /// The kind's name.
    pub kind: &'static str,
    /// Not claimed yet.
    pub waiting: u64,
    /// Claimed by a worker.
    pub leased: u64,
    /// Failed, to be tried again later.
    pub delayed: u64,
    /// Failed for good, kept until an operator retries or discards them.
    pub dead: u64,
    /// Age of the oldest waiting job, in milliseconds.
    pub oldest_ms: u64,
    /// Tells whether an operator paused the kind.
    pub paused: bool,
}

impl Backend {
    /// Counts of every kind.
    pub async fn stats(&self) -> Result<Vec<KindStats>> {
        dispatch!(self.stats(), services: redis.stats)
    }

    /// Lists up to `limit` (1–1000) jobs in a state, of one kind or all, after `after`, in order of acceptance, without
    /// texts. A job that changes its state meanwhile may be missed.
    pub async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        dispatch!(self.jobs(state, kind, after, limit), services: redis.jobs)
    }

    /// Returns one job with its payload, unless it is stored already.
    pub async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        dispatch!(self.job(id), services: redis.job)
    }

    /// Moves a dead or delayed job back to its queue and resets its failures and crashes; false if it is neither.
    pub async fn retry(&self, id: Revision) -> Result<bool> {
        dispatch!(self.retry(id), services: redis.retry)
    }

    /// Discards a dead letter permanently, and that it could be read. What a creation would have created is deleted; an
    /// update or deletion is lost. False if it is no dead letter.
    pub async fn discard(&self, id: Revision) -> Result<bool> {
        dispatch!(self.discard(id), services: discard)
    }

    /// Pauses or resumes the claiming of a kind, in every process, until this is called again. Its jobs are accepted, read
    /// and recovered all the same; claimed ones can be settled.
    pub async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        dispatch!(self.set_paused(kind, paused), services: redis.set_paused)
    }
}
