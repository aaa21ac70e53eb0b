//! The search index, and what it promises.

use async_trait::async_trait;

#[cfg(doc)]
use super::Error;
use super::{Check, Result};
use crate::domain::{ChatKey, Message, MessageKey, Page, Revision, text::Query};

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
