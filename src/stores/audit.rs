//! Walking through everything that is stored, to compare rows, documents and counts.

use super::{Backend, Result};
use crate::domain::{AppId, ChatKey, Message, MessageKey, Revision};

/// Numbers of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Applications.
    pub applications: u64,
    /// Chats.
    pub chats: u64,
    /// Messages.
    pub messages: u64,
}

/// Step of a scan through everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage<K, F> {
    /// Number of scanned items.
    pub scanned: usize,
    /// Key after which the next step continues; `None` at the end.
    pub last: Option<K>,
    /// Differences.
    pub findings: Vec<F>,
}

/// A stored count that differs from the number of rows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WrongCount {
    /// The application, or `application:chat`.
    pub key: String,
    /// Stored count, plus deltas that are not applied yet.
    pub stored: i64,
    /// Number of rows.
    pub counted: i64,
}

impl Backend {
    /// Counts all rows, one by one.
    pub async fn totals(&self) -> Result<RowCounts> {
        dispatch!(self.totals(), services: mysql.totals)
    }

    /// Recounts the chats of up to `limit` applications after `after`. With `fix`, corrects wrong counts.
    pub async fn recount_chats(
        &self,
        after: Option<AppId>,
        limit: usize,
        fix: bool,
    ) -> Result<ScanPage<AppId, WrongCount>> {
        dispatch!(self.recount_chats(after, limit, fix), services: mysql.recount_chats)
    }

    /// Recounts the messages of up to `limit` chats after `after`. With `fix`, corrects wrong counts.
    pub async fn recount_messages(
        &self,
        after: Option<ChatKey>,
        limit: usize,
        fix: bool,
    ) -> Result<ScanPage<ChatKey, WrongCount>> {
        dispatch!(self.recount_messages(after, limit, fix), services: mysql.recount_messages)
    }

    /// Returns up to `limit` stored messages after `after`, in key order.
    pub async fn scan_rows(&self, after: Option<MessageKey>, limit: usize) -> Result<Vec<Message>> {
        dispatch!(self.scan_rows(after, limit), services: mysql.scan_rows)
    }

    /// The stored messages of these keys, in any order.
    pub async fn rows(&self, keys: &[MessageKey]) -> Result<Vec<Message>> {
        dispatch!(self.rows(keys), services: mysql.rows_by_key)
    }

    /// The current epoch, which is part of each new revision; `None` on the embedded backend, whose rows and documents
    /// are one file.
    pub async fn epoch(&self) -> Result<Option<u64>> {
        match self {
            Self::Services(services) => services.mysql.epoch().await.map(Some),
            Self::Embedded(_) => Ok(None),
        }
    }

    /// Returns keys of up to `limit` visible documents after `after`, in key order.
    pub async fn scan_documents(
        &self,
        after: Option<MessageKey>,
        limit: usize,
    ) -> Result<Vec<MessageKey>> {
        dispatch!(self.scan_documents(after, limit), services: elasticsearch.scan)
    }

    /// Number of indexed messages, as far as they can be found already.
    pub async fn count_documents(&self) -> Result<u64> {
        dispatch!(self.count_documents(), services: elasticsearch.count)
    }

    /// The revision under which each of these messages is indexed, in the order of `keys`.
    pub async fn document_revisions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        dispatch!(self.document_revisions(keys), services: elasticsearch.revisions)
    }

    /// Same as [`Self::document_revisions`], for documents with a text. That of a deleted message is empty.
    pub async fn text_revisions(&self, keys: &[MessageKey]) -> Result<Vec<Option<Revision>>> {
        match self {
            Self::Services(services) => services.elasticsearch.revisions_of_texts(keys).await,
            Self::Embedded(embedded) => embedded.document_revisions(keys).await,
        }
    }

    /// Returns those of these messages that are deleted with their chat or application, or by their chat's mark. In a file,
    /// their documents are removed together with them.
    pub async fn deleted_with_parents(&self, keys: &[MessageKey]) -> Result<Vec<MessageKey>> {
        match self {
            Self::Services(services) => services.mysql.deleted_with_parents(keys).await,
            Self::Embedded(_) => Ok(Vec::new()),
        }
    }

    /// Puts messages into the index, except where it holds a newer revision. `target` is an index under construction,
    /// else the index in use. Returns messages that the index rejects permanently, with the reasons.
    pub async fn put_documents(
        &self,
        target: Option<&str>,
        messages: &[Message],
    ) -> Result<Vec<(MessageKey, String)>> {
        dispatch!(self.put_documents(target, messages), services: elasticsearch.put)
    }

    /// Removes documents.
    pub async fn remove_documents(&self, keys: &[MessageKey]) -> Result<()> {
        dispatch!(self.remove_documents(keys), services: elasticsearch.remove)
    }

    /// Queues messages to be indexed again.
    pub async fn reindex(&self, keys: &[MessageKey]) -> Result<()> {
        dispatch!(self.reindex(keys), services: mysql.requeue_for_index)
    }
}
