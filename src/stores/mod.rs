//! The traits behind which everything is kept, and what each promises.
//!
//! Two backings stand behind them. On the *services* backing [`Records`] is MySQL, [`JobQueue`] is Redis and
//! [`SearchIndex`] is Elasticsearch; on the *embedded* one a single SQLite file is all three. Stores never know each
//! other; `app` picks and wires them.

mod breaker;
pub mod check;
pub mod elasticsearch;
mod gather;
mod jobs;
pub mod measured;
pub mod mysql;
mod payload;
mod recount;
pub mod redis;
pub mod sqlite;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use thiserror::Error;

pub use self::{
    check::Check,
    jobs::{JobInfo, JobState},
};
use crate::domain::{
    AppId, Application, Chat, ChatKey, Job, Kind, Message, MessageKey, Number, Page, Revision,
    Write, text::Query,
};

/// The outcome of a call to a store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a store did not do what it was asked for. Workers decide by the kind what becomes of the batch in hand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An outage: nobody's fault, worth the same call again later. A write may or may not have happened.
    #[error("{store} is out of reach: {detail}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What happened.
        detail: String,
    },
    /// The store refuses this data, and would again.
    #[error("{store} refuses the data: {detail}")]
    Rejected {
        /// Which store.
        store: &'static str,
        /// What it objects to.
        detail: String,
    },
    /// The queue is at one of its bounds; nothing was changed.
    #[error("the queue is full: {0}")]
    Full(String),
    /// The batch is no longer the caller's to store or settle: its lease ended, or the queue began a new epoch.
    #[error("the batch is no longer ours: {0}")]
    Fenced(String),
    /// There is no search index yet, or no more.
    #[error(
        "the search index {0} does not exist: `confab search rebuild` makes it from the database"
    )]
    IndexMissing(String),
    /// What should not happen: a bug, or a store that answers what it never should.
    #[error("{store} failed: {detail}")]
    Failed {
        /// Which store.
        store: &'static str,
        /// What happened.
        detail: String,
    },
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

/// How far the search index is behind the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexLag {
    /// Messages that it has not been told of; one that changed twice counts twice.
    pub messages: u64,
    /// How long the oldest of these changes has been stored.
    pub oldest: Duration,
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
    /// changes nothing.
    async fn accept(&self, write: &Write) -> Result<Acceptance>;

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

/// The truth: the rows, and what follows from them to be done.
///
/// Storing is idempotent, in any order: the newer revision wins, the earlier creation time stays. A batch goes in
/// whole or not at all, and is refused with [`Error::Fenced`] if the queue has begun a newer epoch than the one it
/// was claimed under.
#[async_trait]
pub trait Records: Send + Sync {
    /// Whether it is there, with its tables: cheap enough to be asked every second.
    async fn ping(&self) -> Result<()>;
    /// Looks at what can be wrong with the store, and its settings, for `confab doctor`; that it is out of reach is one
    /// of its findings. `batch_bytes` is how much a batch holds.
    async fn examine(&self, batch_bytes: usize) -> Vec<Check>;

    /// Brings the schema up to date. Safe to call from several processes at once.
    async fn migrate(&self) -> Result<()>;

    /// Stores new applications.
    async fn store_applications(&self, epoch: u64, applications: &[Application]) -> Result<()>;
    /// Stores new chats; their application need not be stored yet.
    async fn store_chats(&self, epoch: u64, chats: &[Chat]) -> Result<()>;
    /// Stores messages as created or updated, with what the index and the counts are to be told.
    async fn store_messages(&self, epoch: u64, messages: &[Message]) -> Result<()>;

    /// A stored application and how many of its chats have been counted.
    async fn application(&self, id: AppId) -> Result<Option<(Application, u64)>>;
    /// A stored chat.
    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>>;
    /// The stored chats of a page, ascending.
    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>>;
    /// A stored message.
    async fn message(&self, key: MessageKey) -> Result<Option<Message>>;
    /// The stored messages of a page, ascending.
    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>>;

    /// Adds at most `limit` waiting count changes to their applications, and forgets them; tells how many.
    async fn apply_chats_counts(&self, limit: usize) -> Result<usize>;
    /// Adds at most `limit` waiting count changes to their chats, and forgets them; tells how many.
    async fn apply_messages_counts(&self, limit: usize) -> Result<usize>;
    /// Recounts at most `limit` applications after `after`, and with `fix` corrects what is wrong.
    async fn check_chats_counts(
        &self,
        after: Option<AppId>,
        limit: usize,
        fix: bool,
    ) -> Result<Checked<AppId, WrongCount>>;
    /// Recounts at most `limit` chats after `after`, and with `fix` corrects what is wrong.
    async fn check_messages_counts(
        &self,
        after: Option<ChatKey>,
        limit: usize,
        fix: bool,
    ) -> Result<Checked<ChatKey, WrongCount>>;

    /// Goes through at most `limit` chats after `after` that messages are stored of, and finds those that have no row
    /// themselves, each as its oldest message suggests.
    async fn orphaned_chats(
        &self,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Checked<ChatKey, Chat>>;
    /// Gives such chats a row.
    async fn adopt_chats(&self, chats: &[Chat]) -> Result<()>;

    /// The oldest changes that the index has not been told, beyond the id `after` if given, with the documents as they
    /// are now; empty when none wait. They touched some `limit` messages. Changes may come to lie below one that has
    /// been read: only without `after` are all of them seen.
    async fn outbox(&self, after: Option<u64>, limit: usize) -> Result<Outbox>;
    /// Forgets exactly these changes: the index has them.
    async fn clear_outbox(&self, ids: &[u64]) -> Result<()>;
    /// Tells the index of these messages once more.
    async fn requeue_for_index(&self, keys: &[MessageKey]) -> Result<()>;
    /// The highest and lowest waiting change; `None` when the index has been told everything.
    async fn outbox_bounds(&self) -> Result<Option<(u64, u64)>>;
    /// How far the index is behind. It looks at all waiting changes.
    async fn index_lag(&self) -> Result<IndexLag>;
    /// Stored messages after `after` in key order, at most `limit`: the way through all of them.
    async fn scan_messages(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<Message>>;
    /// The stored messages of these keys, in any order.
    async fn messages_by_key(&self, keys: &[MessageKey]) -> Result<Vec<Message>>;
    /// Whether the search index is being built, or was when who built it died, or is to be.
    async fn build(&self) -> Result<Option<Build>>;
    /// Wants a new index built from nothing: what is in the present ones, an unfinished one too, is not to be trusted.
    async fn want_build(&self) -> Result<()>;
    /// Begins to fill `target`, instead of whatever was being filled: from now on [`Records::outbox`] names it.
    async fn begin_build(&self, target: &str) -> Result<()>;
    /// Keeps how far it has come: the last message gone through, and how many. False if `target` is no longer what is
    /// being filled: it has missed changes then.
    async fn advance_build(&self, target: &str, last: MessageKey, done: u64) -> Result<bool>;
    /// Ends it, if `target` is what is being filled.
    async fn end_build(&self, target: &str) -> Result<()>;
    /// How many rows there are. It counts them one by one.
    async fn totals(&self) -> Result<Totals>;

    /// Takes a lock that only one process can hold, waiting for it at most `wait`. It ends when the guard is
    /// dropped, or when this process dies. `None`: another one holds it.
    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Guard>>>;
}

/// A lock that is held while this lives.
#[async_trait]
pub trait Guard: Send {
    /// Whether the lock is still held: the connection it lives on may have died.
    async fn is_held(&mut self) -> bool;
}

/// What a queue that lost its memory asks the truth, so that no number is given out twice.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Begins a new epoch: one above `at_least` and above every earlier one. Once this answers, no batch that was
    /// claimed before can be stored any more. An `at_least` above the epoch that stands says that the database was set
    /// back: in the same step a new search index is wanted, as [`Records::want_build`] says.
    async fn raise_epoch(&self, at_least: u64) -> Result<u64>;
    /// The epoch that stands.
    async fn epoch(&self) -> Result<u64>;
    /// The highest stored chat number of an application, 0 if none; `None` if there is no such application.
    async fn highest_chat(&self, app: AppId) -> Result<Option<Number>>;
    /// The highest stored message number of a chat, 0 if none; `None` if there is no such chat.
    async fn highest_message(&self, chat: ChatKey) -> Result<Option<Number>>;
    /// As [`Records::lock`].
    async fn lock(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Guard>>>;
}

/// A search index to be put into the present one's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// It has not been begun.
    Wanted,
    /// It is being filled from the rows, in the order of keys.
    Filling {
        /// Its name.
        target: String,
        /// The last message gone through; `None` before the first.
        last: Option<MessageKey>,
        /// How many were gone through until there.
        done: u64,
    },
}

impl Build {
    /// As stores keep it: no name for what has not been begun.
    fn read(target: String, last: Option<&str>, done: u64) -> Self {
        if target.is_empty() {
            return Self::Wanted;
        }
        let last = last.and_then(MessageKey::parse);
        let done = if last.is_some() { done } else { 0 };
        Self::Filling { target, last, done }
    }
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Applications.
    pub applications: u64,
    /// Chats.
    pub chats: u64,
    /// Messages.
    pub messages: u64,
}

/// Changes that the index is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    /// What to clear once the index has them.
    pub ids: Vec<u64>,
    /// The messages they touched, as they are now.
    pub messages: Vec<Message>,
    /// A further index that a rebuild is filling, read together with the changes.
    pub build_target: Option<String>,
}

/// One step of a check that goes through everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<K, F> {
    /// How many were looked at.
    pub checked: usize,
    /// Where to go on; `None` at the end.
    pub last: Option<K>,
    /// What is wrong.
    pub findings: Vec<F>,
}

/// A stored count that is not what counting gives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WrongCount {
    /// The application, or `application:chat`.
    pub key: String,
    /// What is stored, with what still waits to be added.
    pub stored: i64,
    /// What counting the rows gives.
    pub counted: i64,
}

/// Full text over messages, always within one chat.
#[async_trait]
pub trait SearchIndex: Send + Sync {
    /// Whether it is there, and an index in use: cheap enough to be asked every second. [`Error::IndexMissing`] if it
    /// answers and has none: the clean job makes one.
    async fn ping(&self) -> Result<()>;
    /// Looks at what can be wrong with the store, and its settings, for `confab doctor`; that it is out of reach is one
    /// of its findings.
    async fn examine(&self) -> Vec<Check>;

    /// The messages of a chat that match, ascending: with `page.after` the first beyond it, else the newest.
    async fn search(&self, chat: ChatKey, query: &Query, page: &Page) -> Result<Vec<Message>>;

    /// Makes the index hold these messages, unless it holds a newer revision already; into `target` if given, else
    /// into the index in use. Answers what the index refuses for good, each with its reason.
    async fn put(
        &self,
        target: Option<&str>,
        messages: &[Message],
    ) -> Result<Vec<(MessageKey, String)>>;
    /// Removes documents.
    async fn remove(&self, keys: &[MessageKey]) -> Result<()>;
    /// The revision under which each of these messages is indexed, in the order of `keys`.
    async fn revisions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>>;
    /// How many messages are indexed, as far as they can be found already.
    async fn count(&self) -> Result<u64>;
    /// The keys of indexed messages after `after` in key order, at most `limit`.
    async fn scan(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<MessageKey>>;

    /// The index in use; `None` if there is none.
    async fn current(&self) -> Result<Option<String>>;
    /// Whether there is such an index, and it is made as [`SearchIndex::create`] would make it today.
    async fn fits(&self, index: &str) -> Result<bool>;
    /// Whether an index was made by a program older than this one, in another way, so that a new one is wanted.
    async fn is_outdated(&self, index: &str) -> Result<bool>;
    /// Makes a new empty index and answers its name. If none is in use, it is put into use at once.
    async fn create(&self) -> Result<String>;
    /// Puts `index` into use, in one step, and deletes every other one of this installation.
    async fn swap(&self, index: &str) -> Result<()>;
    /// Waits until what was put can be found.
    async fn refresh(&self) -> Result<()>;
}
