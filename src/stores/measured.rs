//! Stores whose calls are timed: each of the three traits around a store of any backing.
//!
//! The handles of all histograms are made once, with the wrapper. A call costs two looks at the clock and an entry in its
//! histogram, however many calls there are.

use std::{sync::Arc, time::Duration};

use ::metrics::{Counter, Histogram};
use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Acceptance, Batch, Build, Check, Checked, ClaimLimits, Error, Guard, IndexLag, JobInfo,
    JobQueue, JobState, KindStats, Known, Lease, Outbox, Records, Recovered, Result, SearchIndex,
    Totals, WrongCount,
};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Job, Kind, Message, MessageKey, Page, RequestId,
        Revision, Write, text::Query,
    },
    telemetry::metrics,
};

/// Whether a call failed by the store's fault.
trait Outcome {
    fn is_failure(&self) -> bool;
}

impl<T> Outcome for Result<T> {
    fn is_failure(&self) -> bool {
        matches!(self, Err(Error::Unavailable { .. } | Error::Failed { .. }))
    }
}

/// An examination answers by what it finds.
impl Outcome for Vec<Check> {
    fn is_failure(&self) -> bool {
        false
    }
}

/// The wrapper of one trait, of all of its calls.
macro_rules! measured {
    (
        $(#[$doc:meta])*
        $name:ident: $trait:ident, $store:literal;
        $($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        $(#[$doc])*
        pub struct $name {
            inner: Arc<dyn $trait>,
            errors: Counter,
            $($call: Histogram,)*
        }

        impl $name {
            /// Times the calls to this store from now on.
            pub fn new(inner: Arc<dyn $trait>) -> Self {
                Self {
                    inner,
                    errors: metrics::store_errors($store),
                    $($call: metrics::store_call($store, stringify!($call)),)*
                }
            }
        }

        #[async_trait]
        impl $trait for $name {
            $(
                async fn $call(&self, $($argument: $type),*) -> $answer {
                    let began = Instant::now();
                    let answer = self.inner.$call($($argument),*).await;
                    self.$call.record(began.elapsed());
                    if answer.is_failure() {
                        self.errors.increment(1);
                    }
                    answer
                }
            )*
        }
    };
}

measured! {
    /// A queue whose calls are timed.
    MeasuredQueue: JobQueue, "queue";
    ping() -> Result<()>;
    examine() -> Vec<Check>;
    accept(write: &Write, request: Option<&RequestId>) -> Result<Acceptance>;
    application(id: AppId) -> Result<Option<(Option<Application>, u64)>>;
    has_chat(key: ChatKey) -> Result<bool>;
    chat(key: ChatKey) -> Result<Option<Chat>>;
    chats(app: AppId, page: &Page) -> Result<Vec<Chat>>;
    message(key: MessageKey) -> Result<Known<Message>>;
    messages(chat: ChatKey, page: &Page) -> Result<Vec<Message>>;
    claim(kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>>;
    extend(lease: &Lease, time: Duration) -> Result<()>;
    acknowledge(lease: &Lease, jobs: &[Job]) -> Result<()>;
    fail(lease: &Lease, job: &Job, error: &str, retry_after: Option<Duration>) -> Result<()>;
    release(lease: &Lease) -> Result<()>;
    recover() -> Result<Vec<Recovered>>;
    raise_revisions(above: Revision) -> Result<()>;
    stats() -> Result<Vec<KindStats>>;
    jobs(state: JobState, kind: Option<Kind>, after: Option<Revision>, limit: usize) -> Result<Vec<JobInfo>>;
    job(id: Revision) -> Result<Option<JobInfo>>;
    retry(id: Revision) -> Result<bool>;
    kill(id: Revision) -> Result<bool>;
    set_paused(kind: Kind, paused: bool) -> Result<()>;
}

measured! {
    /// Records whose calls are timed.
    MeasuredRecords: Records, "records";
    ping() -> Result<()>;
    examine(batch_bytes: usize) -> Vec<Check>;
    migrate() -> Result<()>;
    store_applications(epoch: u64, applications: &[Application]) -> Result<()>;
    store_chats(epoch: u64, chats: &[Chat]) -> Result<()>;
    store_messages(epoch: u64, messages: &[Message]) -> Result<()>;
    application(id: AppId) -> Result<Option<(Application, u64)>>;
    chat(key: ChatKey) -> Result<Option<Chat>>;
    chats(app: AppId, page: &Page) -> Result<Vec<Chat>>;
    message(key: MessageKey) -> Result<Option<Message>>;
    messages(chat: ChatKey, page: &Page) -> Result<Vec<Message>>;
    apply_chats_counts(limit: usize) -> Result<usize>;
    apply_messages_counts(limit: usize) -> Result<usize>;
    check_chats_counts(after: Option<AppId>, limit: usize, fix: bool) -> Result<Checked<AppId, WrongCount>>;
    check_messages_counts(after: Option<ChatKey>, limit: usize, fix: bool) -> Result<Checked<ChatKey, WrongCount>>;
    orphaned_applications(after: Option<AppId>, limit: usize) -> Result<Checked<AppId, Application>>;
    adopt_applications(applications: &[Application]) -> Result<()>;
    orphaned_chats(after: Option<ChatKey>, limit: usize) -> Result<Checked<ChatKey, Chat>>;
    adopt_chats(chats: &[Chat]) -> Result<()>;
    outbox(after: Option<u64>, limit: usize) -> Result<Outbox>;
    clear_outbox(ids: &[u64]) -> Result<()>;
    requeue_for_index(keys: &[MessageKey]) -> Result<()>;
    outbox_bounds() -> Result<Option<(u64, u64)>>;
    index_lag() -> Result<IndexLag>;
    scan_messages(after: Option<MessageKey>, limit: usize) -> Result<Vec<Message>>;
    messages_by_key(keys: &[MessageKey]) -> Result<Vec<Message>>;
    build() -> Result<Option<Build>>;
    want_build() -> Result<()>;
    begin_build(target: &str) -> Result<()>;
    advance_build(target: &str, last: MessageKey, done: u64) -> Result<bool>;
    end_build(target: &str) -> Result<()>;
    totals() -> Result<Totals>;
    lock(name: &str, wait: Duration) -> Result<Option<Box<dyn Guard>>>;
}

measured! {
    /// A search index whose calls are timed.
    MeasuredIndex: SearchIndex, "search";
    ping() -> Result<()>;
    examine() -> Vec<Check>;
    search(chat: ChatKey, query: &Query, page: &Page) -> Result<Vec<Message>>;
    put(target: Option<&str>, messages: &[Message]) -> Result<Vec<(MessageKey, String)>>;
    remove(keys: &[MessageKey]) -> Result<()>;
    revisions(keys: &[MessageKey]) -> Result<Vec<Option<Revision>>>;
    count() -> Result<u64>;
    scan(after: Option<MessageKey>, limit: usize) -> Result<Vec<MessageKey>>;
    current() -> Result<Option<String>>;
    fits(index: &str) -> Result<bool>;
    is_outdated(index: &str) -> Result<bool>;
    create() -> Result<String>;
    swap(index: &str) -> Result<()>;
    refresh() -> Result<()>;
}
