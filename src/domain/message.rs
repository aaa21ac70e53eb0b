//! Messages, numbered within their chat. They are the only entity that can be changed.

use std::fmt;

use super::{AppId, ChatKey, Invalid, Number, Revision, Timestamp, error::check_text};

/// The longest message, in characters: at 4 bytes each it still fits MySQL's `TEXT` (65,535 bytes).
pub const MAX_MESSAGE_CHARS: usize = 16_000;

/// Key of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The chat it belongs to.
    pub chat: ChatKey,
    /// Number within the chat.
    pub number: Number,
}

impl MessageKey {
    /// Reads what [`fmt::Display`] writes: `application:chat:number`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let app = AppId::parse(parts.next()?)?;
        let chat = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let chat = ChatKey { app, number: chat };
        parts.next().is_none().then_some(Self { chat, number })
    }
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.chat, self.number)
    }
}

/// Valid text: at least one visible character, at most [`MAX_MESSAGE_CHARS`] characters, no U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

impl MessageText {
    /// Checks a text.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        check_text("Message", &text, MAX_MESSAGE_CHARS)?;
        Ok(Self(text))
    }

    /// The checked text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message as one write left it, or as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Chat and number.
    pub key: MessageKey,
    /// Latest text.
    pub text: String,
    /// The revision of the write that `text` comes from.
    pub revision: Revision,
    /// Time at which its creation was accepted; of an update whose creation is not queued, its own time.
    pub created_at: Timestamp,
    /// Time at which its last update was accepted; `None` if there was none.
    pub updated_at: Option<Timestamp>,
}

impl Message {
    /// Merges two writes to the same message, in any order: the newer text wins, the earlier creation time stays.
    pub fn merge(self, other: Self) -> Self {
        let created_at = self.created_at.min(other.created_at);
        let newer = if self.revision >= other.revision {
            self
        } else {
            other
        };
        Self {
            created_at,
            ..newer
        }
    }
}
