//! Chats: numbered within their application.

use std::fmt;

use super::{AppId, Number, Revision, Timestamp};

/// Names one chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatKey {
    /// The application it belongs to.
    pub app: AppId,
    /// Its number there.
    pub number: Number,
}

impl fmt::Display for ChatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.app, self.number)
    }
}

/// A chat as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Its application and number.
    pub key: ChatKey,
    /// How many messages have been counted; `None` until the first was.
    pub messages_count: Option<u64>,
    /// The revision of its creation.
    pub revision: Revision,
    /// When its creation was accepted.
    pub created_at: Timestamp,
}
