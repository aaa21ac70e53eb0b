//! Messages.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload, ReqData},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{
    body,
    error::HttpError,
    error_responses::{BadMessage, BadPage, NoChat, NoMessage, ReadFails, WriteFails},
    paging::{self, LIST_LIMITS, ListPage},
    path::{self, ChatPath, MessagePath},
    respond,
};
use crate::{
    domain::{Message, MessageText, Number, Page, RequestId, page::Listing, time::rfc3339},
    service::{Read, Service},
};

/// The text of a message.
#[derive(ToSchema)]
#[schema(example = json!({"message": "Hello, World!"}))]
#[expect(dead_code, reason = "it is there to be described")]
struct Text {
    /// Not only white space, and without U+0000.
    #[schema(
        min_length = 1,
        max_length = 16000,
        pattern = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
    )]
    message: String,
}

/// A message that was created.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageCreated, example = json!({
    "Application": "dec969c6", "Chat": 5, "MessageID": 3, "Message": "Hello, World!",
}))]
struct Created {
    /// Its application's id.
    #[serde(rename = "Application")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its chat's number.
    #[serde(rename = "Chat")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Its number within the chat.
    #[serde(rename = "MessageID")]
    #[schema(value_type = u64, minimum = 1)]
    number: Number,
    /// As it was sent.
    #[serde(rename = "Message")]
    text: String,
}

/// A message.
// The number is a string here: clients of the original rely on it.
#[derive(Serialize, ToSchema)]
#[schema(as = Message, example = json!({
    "Application": "dec969c6", "Chat": 5, "MessageID": "3", "Message": "Guess what?",
    "CreatedAt": "2026-11-23T22:02:53.218Z", "UpdatedAt": "2026-11-23T22:03:11.040Z",
}))]
struct Shown {
    /// Its application's id.
    #[serde(rename = "Application")]
    #[schema(pattern = "^[0-9a-f]{8}$")]
    application: String,
    /// Its chat's number.
    #[serde(rename = "Chat")]
    #[schema(value_type = u64, minimum = 1)]
    chat: Number,
    /// Its number within the chat: a decimal number, as a string.
    #[serde(rename = "MessageID")]
    #[schema(pattern = "^[1-9][0-9]*$")]
    number: String,
    /// Its newest text.
    #[serde(rename = "Message")]
    text: String,
    /// UTC, in milliseconds.
    #[serde(rename = "CreatedAt")]
    #[schema(format = DateTime)]
    created_at: String,
    /// UTC, in milliseconds; only if it was changed.
    #[serde(rename = "UpdatedAt", skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, nullable = false)]
    updated_at: Option<String>,
}

/// A change that was accepted.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "success"}))]
struct Updated {
    #[schema(pattern = "^success$")]
    status: &'static str,
}

/// A message, as an item of a list or a hit of a search.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedMessage, example = json!({
    "appID": "dec969c6", "chatID": 5, "messageID": 4, "message": "Alhamdulilah",
    "createdAt": "2026-11-23T22:02:53.218Z", "updatedAt": "2026-11-23T22:03:11.040Z",
}))]
pub struct Listed {
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
    #[serde(rename = "createdAt")]
    #[schema(format = DateTime)]
    created_at: String,
    /// UTC, in milliseconds; only if it was changed.
    #[serde(rename = "updatedAt", skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, nullable = false)]
    updated_at: Option<String>,
}

impl From<Message> for Listed {
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

/// Create a message
#[utoipa::path(
    post,
    path = "/application/{app}/chat/{chat}/message",
    operation_id = "createMessage",
    tag = "Messages",
    params(ChatPath),
    request_body(content = Text, description = "JSON in UTF-8, up to 256 KiB."),
    responses(
        (status = 201, description = "It is created.", body = Created, headers(
            ("Location" = String, description = "Where it can be read."),
        )),
        BadMessage,
        NoChat,
        WriteFails,
    ),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    request_id: ReqData<RequestId>,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let chat = path::chat_key(&request)?;
    let text = MessageText::parse(body::text(&request, payload, "message", "Message").await?)?;
    let key = service.create_message(chat, &text, &request_id).await?;
    let application = chat.app.to_string();
    let location = format!(
        "/application/{application}/chat/{}/message/{}",
        chat.number, key.number
    );
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(Created {
            application,
            chat: chat.number,
            number: key.number,
            text: text.as_str().to_owned(),
        }))
}

/// Read a message
#[utoipa::path(
    get,
    path = "/application/{app}/chat/{chat}/message/{message}",
    operation_id = "readMessage",
    tag = "Messages",
    params(MessagePath),
    responses((status = 200, description = "The message.", body = Shown), NoMessage, ReadFails),
)]
pub async fn show(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let read = service.message(path::message_key(&request)?).await?;
    let message = read.value;
    Ok(respond(read.stale).json(Shown {
        application: message.key.chat.app.to_string(),
        chat: message.key.chat.number,
        number: message.key.number.to_string(),
        text: message.text,
        created_at: rfc3339(message.created_at),
        updated_at: message.updated_at.map(rfc3339),
    }))
}

/// Give a message a new text
#[utoipa::path(
    put,
    path = "/application/{app}/chat/{chat}/message/{message}",
    operation_id = "updateMessage",
    tag = "Messages",
    params(MessagePath),
    request_body(content = Text, description = "JSON in UTF-8, up to 256 KiB."),
    responses(
        (status = 200, description = "It has the new text.", body = Updated),
        BadMessage,
        NoMessage,
        WriteFails,
    ),
)]
pub async fn update(
    request: HttpRequest,
    payload: Payload,
    request_id: ReqData<RequestId>,
    service: Data<Service>,
) -> Result<HttpResponse, HttpError> {
    let key = path::message_key(&request)?;
    let text = MessageText::parse(body::text(&request, payload, "message", "Message").await?)?;
    service.update_message(key, &text, &request_id).await?;
    Ok(HttpResponse::Ok().json(Updated { status: "success" }))
}

/// List a chat's messages
#[utoipa::path(
    get,
    path = "/application/{app}/chat/{chat}/messages",
    operation_id = "listMessages",
    tag = "Messages",
    params(ChatPath, ListPage),
    responses(
        (status = 200, description = "A page of them, by number.", body = Vec<Listed>, headers(
            ("Link" = String, description = "The neighbours that there are (RFC 8288): `next`, `prev`."),
        )),
        BadPage,
        NoChat,
        ReadFails,
    ),
)]
pub async fn list(request: HttpRequest, service: Data<Service>) -> Result<HttpResponse, HttpError> {
    let chat = path::chat_key(&request)?;
    let page = paging::page(&request, &LIST_LIMITS)?;
    let read = service.messages(chat, &page).await?;
    Ok(array(&request, &page, read))
}

/// A page of messages as a bare array.
pub fn array(request: &HttpRequest, page: &Page, read: Read<Listing<Message>>) -> HttpResponse {
    let mut response = respond(read.stale);
    if let Some(link) = paging::link(request, page, &read.value) {
        response.insert_header(link);
    }
    let messages: Vec<Listed> = read.value.items.into_iter().map(Listed::from).collect();
    response.json(messages)
}
