//! Messages, numbered within their chat. They are the only entity that can be changed.

use std::{cmp::Reverse, fmt};

use super::{AppId, ChatKey, Invalid, Number, Revision, Timestamp, error::check_text, page::Item};

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
    /// Time at which its creation was accepted. An update that does not know it has its own time here.
    pub created_at: Timestamp,
    /// Time at which its last update was accepted; `None` if there was none.
    pub updated_at: Option<Timestamp>,
}

impl Message {
    /// Merges two writes to the same message, in any order: the newer text wins. The creation time is that of the
    /// creation; without it that of a write that knows it, the oldest of several. It never depends on which time is
    /// earlier, because clocks are set back.
    pub fn merge(self, other: Self) -> Self {
        let rank = |message: &Self| {
            let is_creation = message.updated_at.is_none();
            let knows_creation = message.updated_at != Some(message.created_at);
            (is_creation, knows_creation, Reverse(message.revision))
        };
        let created_at = match rank(&self) >= rank(&other) {
            true => self.created_at,
            false => other.created_at,
        };
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

impl Item for Message {
    fn number(&self) -> Number {
        self.key.number
    }

    fn size(&self) -> usize {
        /// Upper bound of the other fields.
        const OTHER_FIELDS: usize = 256;
        json_length(&self.text) + OTHER_FIELDS
    }
}

/// Length of a text in JSON, in bytes, without the quotes.
pub fn json_length(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::from_millis;

    fn message(revision: u64, created: i64, updated: Option<i64>) -> Message {
        let app = AppId(1);
        Message {
            key: MessageKey {
                chat: ChatKey { app, number: 1 },
                number: 1,
            },
            text: format!("text {revision}"),
            revision: Revision(revision),
            created_at: from_millis(created),
            updated_at: updated.map(from_millis),
        }
    }

    #[test]
    fn creation_time_is_that_of_the_creation_in_any_order() {
        // The clock was set back after the creation, so the updates seem older.
        let creation = message(1, 9000, None);
        let knowing = message(2, 9000, Some(1000));
        let unknowing = message(3, 2000, Some(2000));
        let all = [&creation, &knowing, &unknowing];
        for one in all {
            for other in all {
                let merged = one.clone().merge(other.clone());
                assert_eq!(merged.revision, one.revision.max(other.revision));
                if one != &unknowing || other != &unknowing {
                    assert_eq!(merged.created_at, from_millis(9000), "{one:?} {other:?}");
                }
            }
        }
        // Of two that do not know it, the older one is closer to it.
        let later = message(4, 1500, Some(1500));
        let merged = later.merge(unknowing.clone());
        assert_eq!(merged.created_at, unknowing.created_at);
        assert_eq!(merged.updated_at, Some(from_millis(1500)));
    }

    #[test]
    fn json_length_is_that_of_the_serialized_text() {
        let all: String = ('\0'..'\u{100}').chain(['北', '😀', '\u{2028}']).collect();
        for text in ["", "hello", "\"\\/\u{8}\u{c}\n\r\t", &all] {
            let json = serde_json::json!(text).to_string();
            assert_eq!(json_length(text) + 2, json.len(), "{text:?}");
        }
    }
}
