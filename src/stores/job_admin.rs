//! Jobs as operators see them: count, list, retry, discard, pause.

use serde::{Serialize, Serializer};

use super::{Backend, Result};
use crate::domain::{Kind, Revision, Timestamp, time::rfc3339};

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Not claimed yet.
    Waiting,
    /// In a worker's hands.
    Leased,
    /// Failed, to be tried again later.
    Delayed,
    /// Failed for good: a dead letter.
    Dead,
}

impl JobState {
    /// All states, in the order in which a job may pass through them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Leased, Self::Delayed, Self::Dead];

    /// As in the stores and on the command line.
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
    /// Its place in the order of all writes.
    #[serde(serialize_with = "as_text")]
    pub id: Revision,
    /// Its kind's name; another program may have queued kinds that this one does not know.
    pub kind: String,
    /// Where it is.
    pub state: JobState,
    /// What it writes: `application`, `application:chat` or `application:chat:message`.
    pub target: String,
    /// When it was accepted.
    #[serde(serialize_with = "as_time")]
    pub accepted_at: Timestamp,
    /// Of a delayed job when it is tried again, of a dead letter since when it is one.
    #[serde(serialize_with = "as_time_if_any")]
    pub due: Option<Timestamp>,
    /// The request that left it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// How often it failed by its own fault.
    pub tries: u32,
    /// How many claimers died over it.
    pub crashes: u32,
    /// What was said when it failed last.
    pub error: Option<String>,
    /// All of it, texts too: only where one job is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// How many jobs of a kind are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct KindStats {
    /// The kind's name.
    pub kind: &'static str,
    /// Not claimed yet.
    pub waiting: u64,
    /// In a worker's hands.
    pub leased: u64,
    /// Failed, to be tried again later.
    pub delayed: u64,
    /// Failed for good, kept until an operator retries or discards them.
    pub dead: u64,
    /// How long the oldest waiting job has been waiting, in milliseconds.
    pub oldest_ms: u64,
    /// Whether an operator has stopped the claiming of them.
    pub paused: bool,
}

impl Backend {
    /// Counts of every kind.
    pub async fn stats(&self) -> Result<Vec<KindStats>> {
        dispatch!(self.stats(), services: redis.stats)
    }

    /// Lists jobs in one state, of one kind or all, ordered by ID, which is the order of acceptance; after `after`, at
    /// most `limit` (1–1000). Texts are left out. A job that moves meanwhile may be missed.
    pub async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        dispatch!(self.jobs(state, kind, after, limit), services: redis.jobs)
    }

    /// One job with its payload, while it is not stored yet.
    pub async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        dispatch!(self.job(id), services: redis.job)
    }

    /// Moves a dead or delayed job back to its queue and resets its failures and crashes; false if it is neither.
    pub async fn retry(&self, id: Revision) -> Result<bool> {
        dispatch!(self.retry(id), services: redis.retry)
    }

    /// Discards a dead letter permanently, and that it could be read. The write it holds is lost, its number is not given
    /// out again. False if it is no dead letter.
    pub async fn discard(&self, id: Revision) -> Result<bool> {
        dispatch!(self.discard(id), services: redis.discard)
    }

    /// Pauses or resumes the claiming of a kind, in every process, until this is called again. Its jobs are accepted, read
    /// and recovered all the same; claimed ones can be settled.
    pub async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        dispatch!(self.set_paused(kind, paused), services: redis.set_paused)
    }
}

fn as_text<S: Serializer>(id: &Revision, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn as_time<S: Serializer>(time: &Timestamp, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn as_time_if_any<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_some(&time.map(rfc3339))
}
