//! Routes of messages.

use actix_web::{
    http::header::{ETAG, HeaderValue},
    web::Data,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    listed_message::{ListedMessage, raw_json},
    message_body::{Creation, Replacement},
};
use crate::{
    domain::{ChatKey, MessageKey, NewMessage, Number, Origin, time::rfc3339},
    http::{
        error::HttpResult,
        extract::{IdempotencyHeader, IfMatch, JsonBody, PageQuery, if_match::etag, page::List},
        memory::ResponseMemory,
        response::{self, Success},
    },
    service::Service,
};

/// A message that was created.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({
    "Application": "dec969c6", "Chat": 5, "MessageID": 3, "Message": "Hello, World!",
}))]
struct MessageCreated {
    /// Its application's id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its chat's number.
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Its number within the chat.
    #[serde(rename = "MessageID")]
    #[schema(value_type = u64, minimum = 1)]
    number: Number,
    /// As it was sent.
    message: String,
}

/// A message.
// The number is a string here: clients of the original rely on it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(example = json!({
    "Application": "dec969c6", "Chat": 5, "MessageID": "3", "Message": "Guess what?",
    "CreatedAt": "2026-11-23T22:02:53.218Z", "UpdatedAt": "2026-11-23T22:03:11.040Z",
    "Sender": "alice", "Data": {"replyTo": 3},
}))]
struct Message {
    /// Its application's id.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its chat's number.
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Its number within the chat: a decimal number, as a string.
    #[serde(rename = "MessageID")]
    #[schema(pattern = "^[1-9][0-9]*$")]
    number: String,
    /// Its newest text.
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

/// Create a message
///
/// A repeated request with the same `Idempotency-Key` and the same body creates nothing, and returns the response of the first
/// one without its ETag.
#[utoipa::path(
    post, path = "/application/{app}/chat/{chat}/message", operation_id = "createMessage", tag = "Messages",
    params(ChatKey, IdempotencyHeader),
    request_body(content = Creation, description = "JSON in UTF-8, up to 256 KiB."),
    responses(
        (status = 201, description = "The message was created.", body = MessageCreated),
        JsonBody<Creation>, ChatKey,
    ),
)]
pub async fn create(
    chat: ChatKey,
    idempotency: IdempotencyHeader,
    origin: Origin,
    service: Data<Service>,
    JsonBody(new): JsonBody<Creation>,
) -> HttpResult {
    let message = NewMessage::from(new);
    let created = service
        .create_message(chat, &message, idempotency.key(), &origin)
        .await?;
    let number = created.key.number;
    let mut response = response::created_once(format!("message/{number}"), &created);
    if let Some(revision) = created.revision {
        response.insert_header((ETAG, etag(revision)));
    }
    Ok(response.json(MessageCreated {
        application: chat.app.to_string(),
        chat: chat.number,
        number,
        message: message.content.text.as_str().to_owned(),
    }))
}

/// Read a message
#[utoipa::path(
    get, path = "/application/{app}/chat/{chat}/message/{message}", operation_id = "readMessage", tag = "Messages",
    params(MessageKey),
    responses((status = 200, description = "The message.", body = Message), MessageKey),
)]
pub async fn show(key: MessageKey, service: Data<Service>) -> HttpResult {
    let read = service.message(key).await?;
    let message = read.value;
    let mut response = response::read(read.stale);
    response.insert_header((ETAG, etag(message.revision)));
    Ok(response.json(Message {
        application: message.key.chat.app.to_string(),
        chat: message.key.chat.number,
        number: message.key.number.to_string(),
        message: message.text,
        created_at: rfc3339(message.created_at),
        updated_at: message.updated_at.map(rfc3339),
        sender: message.sender,
        data: message.data.and_then(raw_json),
    }))
}

/// Update a message
///
/// Replaces text and data, never the sender. With `If-Match`, only a version that the client knows.
#[utoipa::path(
    put, path = "/application/{app}/chat/{chat}/message/{message}", operation_id = "updateMessage", tag = "Messages",
    params(MessageKey, IfMatch),
    request_body(content = Replacement, description = "JSON in UTF-8, up to 256 KiB."),
    responses(
        (status = 200, description = "The message has the new text and data.", body = Success),
        JsonBody<Replacement>, MessageKey, IfMatch,
    ),
)]
pub async fn update(
    key: MessageKey,
    IfMatch(condition): IfMatch,
    origin: Origin,
    service: Data<Service>,
    JsonBody(new): JsonBody<Replacement>,
) -> HttpResult {
    let revision = service
        .update_message(key, &new.into(), condition, &origin)
        .await?;
    let mut response = response::success();
    let etag = revision.and_then(|revision| HeaderValue::from_str(&etag(revision)).ok());
    if let Some(etag) = etag {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

/// Delete a message
///
/// Its number is not used again. A user token deletes only messages of its user.
#[utoipa::path(
    delete, path = "/application/{app}/chat/{chat}/message/{message}", operation_id = "deleteMessage", tag = "Messages",
    params(MessageKey, IfMatch),
    responses((status = 200, description = "The message is deleted.", body = Success), MessageKey, IfMatch),
)]
pub async fn delete(
    key: MessageKey,
    IfMatch(condition): IfMatch,
    origin: Origin,
    service: Data<Service>,
) -> HttpResult {
    service.delete_message(key, condition, &origin).await?;
    Ok(response::success())
}

/// List a chat's messages
#[utoipa::path(
    get, path = "/application/{app}/chat/{chat}/messages", operation_id = "listMessages", tag = "Messages",
    params(ChatKey, PageQuery<List>),
    responses(
        (status = 200, description = "A page of messages, by number.", body = Vec<ListedMessage>),
        ChatKey, PageQuery<List>,
    ),
)]
pub async fn list(
    chat: ChatKey,
    mut page: PageQuery<List>,
    service: Data<Service>,
    memory: Data<ResponseMemory>,
) -> HttpResult {
    let reservation = page.reserve(&memory).await?;
    let messages = service.messages(chat, &page.page).await?;
    Ok(response::list::<ListedMessage>(
        &page,
        messages,
        reservation,
    ))
}
