//! Changes of an application: their order, and the cursors with which clients continue.

use std::{collections::BTreeSet, fmt};

use data_encoding::BASE64URL_NOPAD;

use super::{AppId, Chat, ChatKey, Message, MessageKey, Number, Revision, page::Item as _};

/// Random number of a part of the history. Two parts that differ have different marks, also if they gave the same revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HistoryMark(pub u64);

/// Place in the history of an application's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The application.
    pub app: AppId,
    /// The part of the history in which the cursor was given.
    pub mark: HistoryMark,
    /// Changes up to this revision were returned.
    pub revision: Revision,
    /// The last revision given out when their states were read. A state may be that of a later write than `revision`.
    pub seen: Revision,
}

impl Cursor {
    /// Number of bytes.
    const BYTES: usize = 28;

    /// Parses what [`fmt::Display`] writes; any other text is no cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let [app, numbers @ ..] = bytes.as_chunks::<4>().0 else {
            return None;
        };
        let number = |high: [u8; 4], low: [u8; 4]| {
            u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low))
        };
        let [mark_high, mark_low, high, low, seen_high, seen_low] = *numbers else {
            return None;
        };
        Some(Self {
            app: AppId(u32::from_be_bytes(*app)),
            mark: HistoryMark(number(mark_high, mark_low)),
            revision: Revision(number(high, low)),
            seen: Revision(number(seen_high, seen_low)),
        })
    }
}

/// 38 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.app.0.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.mark.0.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.revision.0.to_be_bytes());
        bytes[20..].copy_from_slice(&self.seen.0.to_be_bytes());
        f.write_str(&BASE64URL_NOPAD.encode(&bytes))
    }
}

/// Part of the history, an epoch on the services or a run of the program on a file, as the later parts leave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPart {
    /// The last revision that was kept when the next part began; `None` if there is no later part.
    pub kept: Option<Revision>,
    /// Tells whether all later parts continue it: each began with what the one before it had accepted, up to some revision.
    pub continues: bool,
}

impl Cursor {
    /// Tells whether everything that was seen with the cursor is still part of the history. `part` is that of its mark; `last`
    /// is the last revision given out.
    pub fn is_valid(&self, part: &HistoryPart, last: Revision) -> bool {
        part.continues && self.revision.max(self.seen) <= part.kept.unwrap_or(last)
    }
}

/// Place from which a client continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// At the first change.
    Beginning,
    /// After the last change.
    Now,
    /// After a cursor.
    After(Cursor),
}

impl Since {
    /// Parses `0`, `now`, or a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Beginning),
            "now" => Some(Self::Now),
            cursor => Cursor::parse(cursor).map(Self::After),
        }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("0"),
            Self::Now => f.write_str("now"),
            Self::After(cursor) => cursor.fmt(f),
        }
    }
}

/// Requested part of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    /// Place at which it begins.
    pub since: Since,
    /// Maximum number of changes, at least 1.
    pub limit: usize,
    /// Maximum size of the texts in bytes: the change that exceeds it is the last one.
    pub bytes: usize,
    /// The only chats whose changes are wanted; `None` for all.
    pub chats: Option<BTreeSet<Number>>,
}

impl ChangesPage {
    /// Tells whether changes of a chat are wanted.
    pub fn holds(&self, chat: Number) -> bool {
        self.chats
            .as_ref()
            .is_none_or(|chats| chats.contains(&chat))
    }
}

/// Present state of something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A chat that exists.
    Chat(Chat),
    /// A chat that is deleted, with all its messages.
    DeletedChat(ChatKey),
    /// A message that exists.
    Message(Message),
    /// A message that is deleted.
    DeletedMessage(MessageKey),
}

impl Changed {
    /// The present state of a chat.
    pub fn chat(chat: Chat) -> Self {
        match chat.deleted_at {
            None => Self::Chat(chat),
            Some(_) => Self::DeletedChat(chat.key),
        }
    }

    /// The present state of a message.
    pub fn message(message: Message) -> Self {
        match message.deleted_at {
            None => Self::Message(message),
            Some(_) => Self::DeletedMessage(message.key),
        }
    }

    /// Size of its texts in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            Self::Chat(_) | Self::DeletedChat(_) | Self::DeletedMessage(_) => 0,
        }
    }
}

/// Changes in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The changes.
    pub items: Vec<Changed>,
    /// Place from which the next request continues.
    pub next: Since,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: Cursor = Cursor {
        app: AppId(0xdec9_69c6),
        mark: HistoryMark(0x0123_4567_89ab_cdef),
        revision: Revision(3 << 40 | 77),
        seen: Revision(3 << 40 | 78),
    };

    #[test]
    fn cursors_are_read_back() {
        for cursor in [
            CURSOR,
            Cursor {
                app: AppId(0),
                mark: HistoryMark(u64::MAX),
                revision: Revision(u64::MAX),
                seen: Revision(u64::MAX),
            },
        ] {
            let text = cursor.to_string();
            assert_eq!(text.len(), 38);
            assert_eq!(Since::parse(&text), Some(Since::After(cursor)));
        }
        assert_eq!(Since::parse("0"), Some(Since::Beginning));
        assert_eq!(Since::parse("now"), Some(Since::Now));
    }

    #[test]
    fn cursor_is_valid_as_long_as_what_was_seen_with_it_is_kept() {
        let cursor = |revision, seen| Cursor {
            revision: Revision(revision),
            seen: Revision(seen),
            ..CURSOR
        };
        let part = |kept: Option<u64>, continues| HistoryPart {
            kept: kept.map(Revision),
            continues,
        };
        let last = Revision(90);
        assert!(cursor(50, 90).is_valid(&part(None, true), last));
        assert!(
            !cursor(91, 91).is_valid(&part(None, true), last),
            "the future"
        );
        assert!(cursor(30, 40).is_valid(&part(Some(40), true), last));
        // A state was returned that is not kept.
        assert!(!cursor(30, 41).is_valid(&part(Some(40), true), last));
        assert!(!cursor(10, 10).is_valid(&part(Some(40), false), last));
    }

    #[test]
    fn no_other_text_is_a_cursor() {
        let text = CURSOR.to_string();
        for wrong in [
            "",
            "1",
            "Now",
            &text[1..],
            &format!("{text}A"),
            &format!("{text}="),
            &text.replace(&text[..1], "+"),
            &text.replace(&text[..1], "é"),
        ] {
            assert_eq!(Since::parse(wrong), None, "{wrong}");
        }
        // The last character holds two bits and four zeros.
        let last = if text.ends_with('B') { 'C' } else { 'B' };
        assert_eq!(Since::parse(&format!("{}{last}", &text[..37])), None);
    }
}
