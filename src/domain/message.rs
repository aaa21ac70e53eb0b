//! Messages: numbered within their chat, and the one thing that can be changed.

use std::fmt;

use super::{AppId, ChatKey, Invalid, Number, Revision, Timestamp, error::check_text};

/// The longest message, in characters: at 4 bytes each it still fits MySQL's `TEXT` (65,535 bytes).
pub const MAX_MESSAGE_CHARS: usize = 16_000;

/// Names one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The chat it belongs to.
    pub chat: ChatKey,
    /// Its number there.
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

/// A text that keeps the contract: not blank, at most [`MAX_MESSAGE_CHARS`] characters, no U+0000.
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
    /// Its chat and number.
    pub key: MessageKey,
    /// What was said last.
    pub text: String,
    /// The revision of the write that `text` comes from.
    pub revision: Revision,
    /// When its creation was accepted; of an update whose creation the queue no longer knows, when the update was.
    pub created_at: Timestamp,
    /// When its last update was accepted; `None` while it is as created.
    pub updated_at: Option<Timestamp>,
}

impl Message {
    /// What two writes to the same message leave: the newer text, the earlier creation. The order does not matter.
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
