//! Message as an item of an array.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::domain::{Message, Number, time::rfc3339};

/// A message, as an item of a list or a hit of a search.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "appID": "dec969c6", "chatID": 5, "messageID": 4, "message": "Alhamdulilah",
    "createdAt": "2026-11-23T22:02:53.218Z", "updatedAt": "2026-11-23T22:03:11.040Z",
    "sender": "alice", "data": {"replyTo": 3},
}))]
pub struct ListedMessage {
    /// Its application's id.
    #[serde(rename = "appID")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    app: String,
    /// Its chat's number.
    #[serde(rename = "chatID")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Its number within the chat.
    #[serde(rename = "messageID")]
    #[schema(value_type = u64, minimum = 1)]
    number: Number,
    /// Its text.
    message: String,
    /// UTC, in milliseconds.
    #[schema(format = DateTime)]
    created_at: String,
    /// UTC, in milliseconds; only if it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, nullable = false)]
    updated_at: Option<String>,
    /// Its sender; only if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    sender: Option<String>,
    /// Its newest data; only if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    data: Option<Box<RawValue>>,
}

impl From<Message> for ListedMessage {
    fn from(message: Message) -> Self {
        Self {
            app: message.key.chat.app.to_string(),
            chat: message.key.chat.number,
            number: message.key.number,
            message: message.text,
            created_at: rfc3339(message.created_at),
            updated_at: message.updated_at.map(rfc3339),
            sender: message.sender,
            data: message.data.and_then(raw_json),
        }
    }
}

/// Makes stored data a part of a response, letter by letter. What is no JSON, because something else than Confab wrote
/// it, is left out: it would make the whole response unreadable.
pub fn raw_json(data: String) -> Option<Box<RawValue>> {
    RawValue::from_string(data).ok()
}
