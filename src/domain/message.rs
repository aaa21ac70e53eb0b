//! Messages, numbered within their chat. They are the only entity that can be changed.

mod content;

use std::{cmp::Reverse, fmt};

pub use self::content::{
    MAX_DATA_BYTES, MAX_MESSAGE_CHARS, MAX_SENDER_CHARS, MessageContent, MessageData, MessageText,
    NewMessage, Sender,
};
use super::{AppId, ChatKey, Number, Revision, Timestamp, page::Item};

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

/// A message as one write left it, or as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Chat and number.
    pub key: MessageKey,
    /// Latest text.
    pub text: String,
    /// Latest data, as compact JSON.
    pub data: Option<String>,
    /// Sender, which never changes. An update that does not know it has none here.
    pub sender: Option<String>,
    /// The revision of the write that `text` and `data` come from.
    pub revision: Revision,
    /// Time at which its creation was accepted. An update that does not know it has its own time here.
    pub created_at: Timestamp,
    /// Time at which its last update was accepted; `None` if there was none.
    pub updated_at: Option<Timestamp>,
    /// Time at which its deletion was accepted; `None` if it exists. A deleted message has no text, data and sender.
    pub deleted_at: Option<Timestamp>,
}

impl Message {
    /// Merges two writes to the same message, in any order: the newer text and data win. Creation time and sender are
    /// those of the creation; without it those of a write that knows them, the oldest of several. They never depend on
    /// which time is earlier, because clocks are set back.
    ///
    /// A deletion wins over any write, whatever their revisions.
    pub fn merge(self, other: Self) -> Self {
        match (self.deleted_at, other.deleted_at) {
            (Some(_), Some(_)) if self.revision >= other.revision => return self,
            (_, Some(_)) => return other.with_revision_of(&self),
            (Some(_), None) => return self.with_revision_of(&other),
            (None, None) => {}
        }
        let rank = |message: &Self| {
            let is_creation = message.updated_at.is_none();
            let knows_creation = message.updated_at != Some(message.created_at);
            (is_creation, knows_creation, Reverse(message.revision))
        };
        let (mut origin, mut other) = match rank(&self) >= rank(&other) {
            true => (self, other),
            false => (other, self),
        };
        let created_at = origin.created_at;
        // There is only one, so it does not matter which write knows it.
        let sender = origin.sender.take().or(other.sender.take());
        let newer = if origin.revision >= other.revision {
            origin
        } else {
            other
        };
        Self {
            created_at,
            sender,
            ..newer
        }
    }
}

impl Message {
    /// A message without content, deleted at this time.
    pub fn deleted(key: MessageKey, revision: Revision, at: Timestamp) -> Self {
        Self {
            key,
            text: String::new(),
            data: None,
            sender: None,
            revision,
            created_at: at,
            updated_at: None,
            deleted_at: Some(at),
        }
    }

    /// Raises the revision of a deletion to that of a later write, over which the deletion wins.
    fn with_revision_of(self, other: &Self) -> Self {
        Self {
            revision: self.revision.max(other.revision),
            ..self
        }
    }
}

impl Item for Message {
    fn number(&self) -> Number {
        self.key.number
    }

    fn size(&self) -> usize {
        /// Upper bound of the other fields, and of the names of all.
        const OTHER_FIELDS: usize = 256;
        let sender = self.sender.as_deref().map_or(0, json_length);
        json_length(&self.text) + sender + self.data.as_ref().map_or(0, String::len) + OTHER_FIELDS
    }

    fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
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
            data: Some(format!("{{\"revision\":{revision}}}")),
            sender: updated.is_none().then(|| "alice".to_owned()),
            revision: Revision(revision),
            created_at: from_millis(created),
            updated_at: updated.map(from_millis),
            deleted_at: None,
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
    fn merging_in_any_order_gives_the_same_sender_and_data() {
        let creation = message(1, 9000, None);
        // Queued while the creation was pending, so it knows its time and sender.
        let knowing = Message {
            sender: creation.sender.clone(),
            ..message(2, 9000, Some(9500))
        };
        // As fast as the creation, so that its times do not show that it knows them.
        let fast = Message {
            sender: creation.sender.clone(),
            ..message(2, 9000, Some(9000))
        };
        let unknowing = message(3, 9700, Some(9700));
        let without_data = Message {
            data: None,
            ..message(4, 9700, Some(9700))
        };
        let writes = [creation, knowing, fast, unknowing, without_data];
        for one in &writes {
            for two in writes.iter().filter(|two| two.revision != one.revision) {
                for three in writes.iter().filter(|three| {
                    three.revision != one.revision && three.revision != two.revision
                }) {
                    let [one, two, three] = [one, two, three].map(Clone::clone);
                    let knows = [&one, &two, &three].map(|write| write.sender.clone());
                    let newest = [&one, &two, &three]
                        .into_iter()
                        .max_by_key(|write| write.revision);
                    let (text, data) = newest
                        .map(|write| (write.text.clone(), write.data.clone()))
                        .unwrap();
                    let merged = one.clone().merge(two.clone()).merge(three.clone());
                    assert_eq!(merged, one.merge(two.merge(three)));
                    assert_eq!((&merged.text, &merged.data), (&text, &data));
                    assert_eq!(merged.sender, knows.into_iter().flatten().next());
                }
            }
        }
    }

    #[test]
    fn size_is_an_upper_bound_of_the_item_in_a_list() {
        let text = "\"\u{1}é😀".repeat(100);
        let data = r#"{"a":"\u0001"}"#.to_owned();
        let message = Message {
            text: text.clone(),
            data: Some(data.clone()),
            sender: Some(text.clone()),
            ..message(1, 9000, Some(9000))
        };
        let time = "2026-11-23T22:02:53.218Z";
        let number = crate::domain::number::MAX_NUMBER;
        let item = serde_json::json!({
            "appID": "dec969c6", "chatID": number, "messageID": number, "message": text,
            "createdAt": time, "updatedAt": time, "sender": text, "data": 0,
        });
        let length = item.to_string().len() + data.len();
        assert!((length..length + 100).contains(&message.size()), "{length}");
    }

    #[test]
    fn json_length_is_that_of_the_serialized_text() {
        let all: String = ('\0'..'\u{100}').chain(['北', '😀', '\u{2028}']).collect();
        for text in ["", "hello", "\"\\/\u{8}\u{c}\n\r\t", &all] {
            let json = serde_json::json!(text).to_string();
            assert_eq!(json_length(text) + 2, json.len(), "{text:?}");
        }
    }

    #[test]
    fn deletion_wins_over_any_write_in_any_order() {
        let key = message(0, 0, None).key;
        let deletion = |revision| Message::deleted(key, Revision(revision), from_millis(5000));
        for revision in [1, 9] {
            let write = message(revision, 1000, Some(2000));
            let expected = deletion(revision.max(5));
            assert_eq!(deletion(5).merge(write.clone()), expected);
            assert_eq!(write.merge(deletion(5)), expected);
        }
        assert_eq!(deletion(5).merge(deletion(6)), deletion(6));
        assert_eq!(deletion(6).merge(deletion(5)), deletion(6));
    }
}
