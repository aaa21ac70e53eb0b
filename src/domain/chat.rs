//! Chats: numbered within their application.

use std::fmt;

use super::{AppId, Number, Revision, Timestamp, page::Item};

/// Key of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatKey {
    /// The application it belongs to.
    pub app: AppId,
    /// Number within the application.
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
    /// Application and number.
    pub key: ChatKey,
    /// Number of counted messages; `None` until the first one is counted.
    pub messages_count: Option<u64>,
    /// All messages up to this number are deleted; 0 if none are for that reason.
    pub deleted_up_to: Number,
    /// The revision of its creation, of the last change of `deleted_up_to`, or of its deletion.
    pub revision: Revision,
    /// Time at which its creation was accepted.
    pub created_at: Timestamp,
    /// Time at which its deletion was accepted; `None` if it exists.
    pub deleted_at: Option<Timestamp>,
}

impl Item for Chat {
    fn number(&self) -> Number {
        self.key.number
    }

    fn size(&self) -> usize {
        /// Upper bound: a chat has no texts.
        const SIZE: usize = 128;
        SIZE
    }

    fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }
}
