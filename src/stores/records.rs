//! The rows, and what they promise.

use std::time::Duration;

use async_trait::async_trait;

#[cfg(doc)]
use super::Error;
use super::{Check, Result};
use crate::domain::{AppId, Application, Chat, ChatKey, Message, MessageKey, Number, Page};

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

    /// Goes through at most `limit` applications after `after` that chats are stored of, and finds those that have no row
    /// themselves, each as old as its first chat, with [`LOST_USERNAME`](crate::domain::LOST_USERNAME).
    async fn orphaned_applications(
        &self,
        after: Option<AppId>,
        limit: usize,
    ) -> Result<Checked<AppId, Application>>;
    /// Gives such applications a row, which gives way to their creation if that turns up after all.
    async fn adopt_applications(&self, applications: &[Application]) -> Result<()>;
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

/// How far the search index is behind the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexLag {
    /// Messages that it has not been told of; one that changed twice counts twice.
    pub messages: u64,
    /// How long the oldest of these changes has been stored.
    pub oldest: Duration,
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
    pub(super) fn read(target: String, last: Option<&str>, done: u64) -> Self {
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

impl<K, F> Checked<K, F> {
    /// Where there is nothing to go through.
    pub const fn nothing() -> Self {
        Self {
            checked: 0,
            last: None,
            findings: Vec::new(),
        }
    }
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
