//! A message as a document.

use serde::{Deserialize, Serialize};

use super::{failed, tokens};
use crate::{
    domain::{
        AppId, ChatKey, Message, MessageKey, Number, Revision, text::tokenize, time::from_millis,
    },
    stores::Result,
};

/// Document to index. `mapping.json` defines its fields.
#[derive(Serialize)]
pub(super) struct MessageDocument<'a> {
    chat: String,
    number: Number,
    words: String,
    text: &'a str,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    /// JSON within a string: Elasticsearch would change an object, and would map its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

impl<'a> MessageDocument<'a> {
    /// The document of a deleted message has no content. It stays in the index, because Elasticsearch forgets a deletion
    /// after a minute: a late request could restore the text then.
    pub(super) fn new(message: &'a Message) -> Self {
        Self {
            chat: chat_field(message.key.chat),
            number: message.key.number,
            words: tokens::split_all(tokenize(&message.text)),
            text: &message.text,
            created_at: message.created_at.timestamp_millis(),
            updated_at: message.updated_at.map(|time| time.timestamp_millis()),
            sender: message.sender.as_deref(),
            data: message.data.as_deref(),
        }
    }
}

/// Source of a stored document. `words` is not stored.
#[derive(Deserialize)]
pub(super) struct Stored {
    number: Number,
    text: String,
    created_at: i64,
    updated_at: Option<i64>,
    sender: Option<String>,
    data: Option<String>,
}

impl Stored {
    pub(super) fn into_message(self, chat: ChatKey, version: u64) -> Message {
        Message {
            key: MessageKey {
                chat,
                number: self.number,
            },
            text: self.text,
            data: self.data,
            sender: self.sender,
            revision: Revision(version),
            created_at: from_millis(self.created_at),
            updated_at: self.updated_at.map(from_millis),
            deleted_at: None,
        }
    }
}

/// A chat as one term, which sorts as chats do: `dec969c6:0000000000000005`. 16 digits hold every number.
pub(super) fn chat_field(chat: ChatKey) -> String {
    format!("{}:{:016}", chat.app, chat.number)
}

/// Reads what [`chat_field`] writes.
pub(super) fn parse_chat_field(field: &str) -> Result<ChatKey> {
    field
        .split_once(':')
        .and_then(|(app, number)| {
            Some(ChatKey {
                app: AppId::parse(app)?,
                number: number.parse().ok()?,
            })
        })
        .ok_or_else(|| failed(format!("{field:?} is no chat")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_sort_as_terms_in_their_own_order() {
        let key = |app, number| ChatKey {
            app: AppId(app),
            number,
        };
        let chats = [
            key(9, 1),
            key(9, 2),
            key(9, 10),
            key(9, (1 << 53) - 1),
            key(10, 3),
        ];
        let fields = chats.map(chat_field);
        assert!(fields.is_sorted());
        assert_eq!(fields[2], "00000009:0000000000000010");
        for (chat, field) in chats.iter().zip(&fields) {
            assert_eq!(parse_chat_field(field), Ok(*chat));
        }
        assert!(parse_chat_field("x").is_err());
    }
}
