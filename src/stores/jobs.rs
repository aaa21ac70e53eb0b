//! What an operator is shown of the jobs in a queue.

use serde::{Serialize, Serializer};

use crate::domain::{Revision, Timestamp, time::rfc3339};

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

/// What a job writes; the chat of a chat's own creation is 0, as is the number of an application's.
pub(super) fn target(app: &str, chat: u64, number: u64) -> String {
    match (chat, number) {
        (0, 0) => app.to_owned(),
        (0, number) => format!("{app}:{number}"),
        (chat, number) => format!("{app}:{chat}:{number}"),
    }
}

fn as_text<S: Serializer>(id: &Revision, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn as_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn as_time_if_any<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&time.map(rfc3339))
}
