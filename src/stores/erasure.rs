//! Erasing the content of what was deleted, in bounded steps.
//!
//! Deleted chats and applications are hidden at once. Their messages are erased afterwards, and so are the messages of a
//! sender whose erasure was requested. Each step keeps how far it has come, so that a process that ends loses nothing.

use serde::Serialize;

use super::{Backend, Result};
use crate::domain::{
    AppId, Number, Timestamp,
    serialize::{as_text, as_time, as_time_if_any},
};

/// Erasure of the content of an application, of a chat, or of the messages of a sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// ID, ascending in the order of requests.
    pub id: u64,
    /// The application.
    #[serde(serialize_with = "as_text")]
    pub app: AppId,
    /// The deleted chat; `None` if the application is deleted, or if messages of a sender are.
    pub chat: Option<Number>,
    /// Sender whose messages are erased.
    pub user: Option<String>,
    /// Number of messages erased so far.
    pub erased: u64,
    /// Time of the request, or of the deletion.
    #[serde(serialize_with = "as_time")]
    pub requested_at: Timestamp,
    /// Time at which it was finished.
    #[serde(serialize_with = "as_time_if_any")]
    pub finished_at: Option<Timestamp>,
}

impl Backend {
    /// Requests the deletion of all messages of a sender that were accepted until now. Returns the ID of the erasure.
    pub async fn erase_sender(&self, app: AppId, user: &str) -> Result<u64> {
        let id = dispatch!(self.erase_sender(app, user), services: erase_sender)?;
        self.wakeups().erase.notify_one();
        Ok(id)
    }

    /// Does one step of the oldest unfinished erasure, of up to `limit` messages. Returns false if none is unfinished.
    /// Repeating a step that was interrupted is harmless.
    pub async fn erase_step(&self, limit: usize) -> Result<bool> {
        dispatch!(self.erase_step(limit), services: erase_step)
    }

    /// Tells whether an erasure is finished.
    pub async fn is_erasure_finished(&self, id: u64) -> Result<bool> {
        dispatch!(self.is_erasure_finished(id), services: mysql.is_erasure_finished)
    }

    /// Returns up to `limit` erasures: the unfinished ones, the oldest first, then the last finished ones.
    pub async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        dispatch!(self.erasures(limit), services: mysql.erasures)
    }
}
