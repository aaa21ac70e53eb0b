//! Message as an item of an array.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Message, Number, time::rfc3339};

/// A message, as an item of a list or a hit of a search.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "appID": "dec969c6", "chatID": 5, "messageID": 4, "message": "Alhamdulilah",
    "createdAt": "2026-11-23T22:02:53.218Z", "updatedAt": "2026-11-23T22:03:11.040Z",
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
        }
    }
}
