//! What the segments of a path name. A segment that can name nothing is a 404, with the text of its route.

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use utoipa::IntoParams;

use crate::domain::{AppId, ChatKey, Entity, Error, MessageKey, number::parse_number};

/// What a path with an application tells of it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is there to be described")]
pub struct AppPath {
    /// The application's id.
    #[param(pattern = "^[0-9a-f]{8}$", example = "dec969c6")]
    app: String,
}

/// What a path with a chat tells of it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is there to be described")]
pub struct ChatPath {
    /// The application's id.
    #[param(pattern = "^[0-9a-f]{8}$", example = "dec969c6")]
    app: String,
    /// The chat's number within its application.
    #[param(minimum = 1, maximum = 9007199254740991_u64, example = 5)]
    chat: u64,
}

/// What a path with a message tells of it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is there to be described")]
pub struct MessagePath {
    /// The application's id.
    #[param(pattern = "^[0-9a-f]{8}$", example = "dec969c6")]
    app: String,
    /// The chat's number within its application.
    #[param(minimum = 1, maximum = 9007199254740991_u64, example = 5)]
    chat: u64,
    /// The message's number within its chat.
    #[param(minimum = 1, maximum = 9007199254740991_u64, example = 3)]
    message: u64,
}

/// A segment, decoded. Bytes that are no UTF-8 become U+FFFD, which no name holds.
pub fn segment(request: &HttpRequest, name: &str) -> String {
    let raw = request.match_info().get(name).unwrap_or_default();
    percent_decode_str(raw).decode_utf8_lossy().into_owned()
}

/// The application that the path names.
pub fn app_id(request: &HttpRequest) -> Result<AppId, Error> {
    app(request).ok_or(Error::NotFound(Entity::Application))
}

/// The chat that the path names.
pub fn chat_key(request: &HttpRequest) -> Result<ChatKey, Error> {
    chat(request).ok_or(Error::NotFound(Entity::Chat))
}

/// The message that the path names.
pub fn message_key(request: &HttpRequest) -> Result<MessageKey, Error> {
    let key = chat(request).and_then(|chat| {
        let number = parse_number(&segment(request, "message"))?;
        Some(MessageKey { chat, number })
    });
    key.ok_or(Error::NotFound(Entity::Message))
}

fn app(request: &HttpRequest) -> Option<AppId> {
    AppId::parse(&segment(request, "app"))
}

fn chat(request: &HttpRequest) -> Option<ChatKey> {
    Some(ChatKey {
        app: app(request)?,
        number: parse_number(&segment(request, "chat"))?,
    })
}
