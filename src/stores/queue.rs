//! The queue of accepted writes, and what it promises.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{Check, JobInfo, JobState, Result};
#[cfg(doc)]
use super::{Error, Records};
use crate::domain::{
    AppId, Application, Chat, ChatKey, Job, Kind, Message, MessageKey, Number, Page, RequestId,
    Revision, Write,
};

/// Durable queues of accepted writes, one list a kind, and what can be read of those writes before they are stored.
///
/// Every method may answer [`Error::Unavailable`] after a bounded time. Nothing else is lost by it: a call whose
/// answer did not arrive may have been carried out.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Whether it is there, to be trusted, and would take a write: cheap enough to be asked every second.
    /// [`Error::Failed`] says why it may lose what it is given, [`Error::Full`] which bound it is at.
    async fn ping(&self) -> Result<()>;
    /// Looks at what can be wrong with the store, and its settings, for `confab doctor`; that it is out of reach is one
    /// of its findings.
    async fn examine(&self) -> Vec<Check>;

    /// Accepts a write in one atomic step: does what it belongs to exist, which number does it get, queue it. Once
    /// this answers, the write survives the death of this process, and of the queue's own store as far as that
    /// syncs.
    ///
    /// Numbers are gapless and unique under any number of callers. Beyond a bound it answers [`Error::Full`] and
    /// changes nothing. The job names the `request` that left it.
    async fn accept(&self, write: &Write, request: Option<&RequestId>) -> Result<Acceptance>;

    /// An application's creation, while it is not stored yet, and how many chats it has been given; `None` if there
    /// is no such application, here or stored.
    async fn application(&self, id: AppId) -> Result<Option<(Option<Application>, u64)>>;
    /// Whether there is such a chat, here or stored.
    async fn has_chat(&self, key: ChatKey) -> Result<bool>;
    /// A chat's creation while it is not stored yet.
    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>>;
    /// The chats of that page that are not stored yet, ascending, at most `page.limit`.
    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>>;
    /// A message, as far as the queue knows it.
    async fn message(&self, key: MessageKey) -> Result<Known<Message>>;
    /// The newest write to each message of that page that is not stored yet, ascending, at most `page.limit`.
    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>>;

    /// Leases waiting jobs of a kind to the caller, what was given back before what nobody had yet, and of that the
    /// oldest; `None` when nothing waits, or the kind is paused.
    async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>>;
    /// Starts the lease's time anew. [`Error::Fenced`] if it is over.
    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()>;
    /// The jobs are stored: forgets them. [`Error::Fenced`] if the lease is over; another claimer has them then.
    async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()>;
    /// The job failed by its own fault: tries it again after `retry_after`, or with `None` keeps it with the dead
    /// letters, readable all the same.
    async fn fail(
        &self,
        lease: &Lease,
        job: &Job,
        error: &str,
        retry_after: Option<Duration>,
    ) -> Result<()>;
    /// Gives back what the lease still holds, to be claimed next, nobody's fault.
    async fn release(&self, lease: &Lease) -> Result<()>;
    /// Gives back what dead claimers held beyond their lease. A job that this happens to twice is claimed alone from
    /// then on, and the third time goes to the dead letters. Answers what there was, kind by kind.
    async fn recover(&self) -> Result<Vec<Recovered>>;
    /// Makes every write that is accepted from now on newer than `above`: somewhere such a revision was seen, and rows
    /// that were set back do not know it.
    async fn raise_revisions(&self, above: Revision) -> Result<()>;
    /// How much is where, for every kind.
    async fn stats(&self) -> Result<Vec<KindStats>>;

    /// The jobs in one state, of one kind or all, in the order of their ids, which is that of their acceptance; after
    /// `after`, at most `limit` (1–1000). Texts are left out. Jobs go on moving meanwhile: one may be missed.
    async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>>;
    /// One job with its payload, while it is not stored yet.
    async fn job(&self, id: Revision) -> Result<Option<JobInfo>>;
    /// A dead letter or a delayed job waits again, its failures and crashes forgotten; false if it is neither.
    async fn retry(&self, id: Revision) -> Result<bool>;
    /// Forgets a dead letter for good, and that it could be read: what it would have written is lost, its number is not
    /// given out again. False if it is no dead letter.
    async fn kill(&self, id: Revision) -> Result<bool>;
    /// Stops or resumes the claiming of a kind, in every process, until told otherwise. Its jobs are accepted, read and
    /// taken back as ever; what is claimed already can be settled.
    async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()>;
}

/// What became of a write that was offered to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It is queued durably, and readable from now on.
    Accepted {
        /// The number of the new chat or message; of an update its message's; 0 for an application.
        number: Number,
        /// Its place in the order of all writes.
        revision: Revision,
    },
    /// The application, chat or message that it is to be written into does not exist.
    Missing,
    /// The application id is taken: try another.
    Taken,
}

/// What a queue can say of a thing that may be stored already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// The newest write to it, which is not stored yet. An older one may be.
    Pending(T),
    /// No write to it waits: what is stored is all.
    Nothing,
    /// All there is of it, stored or not: this queue lies with the rows, and has looked at both at once.
    All(Option<T>),
}

/// Jobs that were claimed together. They stay the claimer's while it extends the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The claim.
    pub lease: Lease,
    /// The epoch under which they were claimed, for [`Records`] to check.
    pub epoch: u64,
    /// In the order in which they were accepted; never empty.
    pub jobs: Vec<Job>,
}

/// Names one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose queue the jobs came from and go back to.
    pub kind: Kind,
    /// Told apart from every other claim by a random number.
    pub token: String,
}

/// How much one claim may take, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Jobs at most.
    pub jobs: usize,
    /// Bytes of payload at most, though always at least one job.
    pub bytes: usize,
    /// How long the lease lasts unless it is extended.
    pub lease: Duration,
}

/// What was taken back from dead claimers, of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The kind.
    pub kind: Kind,
    /// Jobs that they held.
    pub jobs: usize,
    /// Those of them that are dead letters now, as three claimers died over them.
    pub dead: usize,
}

impl Recovered {
    /// Adds up what was taken back claim by claim, and leaves out kinds of which there was nothing.
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
    /// Failed for good, kept until someone retries or kills them.
    pub dead: u64,
    /// How long the oldest waiting job has been waiting, in milliseconds.
    pub oldest_ms: u64,
    /// Whether an operator has stopped the claiming of them.
    pub paused: bool,
}
