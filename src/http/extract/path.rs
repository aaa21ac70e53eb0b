//! Keys in a path. A segment that is not valid is a 404 with the text of the route.

use std::borrow::Cow;

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::{integer, parameter, text};
use crate::{
    domain::{
        AppId, ChatKey, Entity, Error, KeyId, MessageKey, Number,
        number::{MAX_NUMBER, parse_number},
    },
    http::error::HttpError,
};

extractor!(
    [] AppId,
    |request| app(request).ok_or(Error::NotFound(Entity::Application)),
    app_parameters(),
    [Error::NotFound(Entity::Application)],
);
extractor!(
    [] ChatKey,
    |request| chat(request).ok_or(Error::NotFound(Entity::Chat)),
    chat_parameters(),
    [Error::NotFound(Entity::Chat)],
);
extractor!(
    [] MessageKey,
    |request| message(request).ok_or(Error::NotFound(Entity::Message)),
    message_parameters(),
    [Error::NotFound(Entity::Message)],
);

extractor!(
    [] KeyPath,
    |request| key(request).ok_or(Error::KeyNotFound),
    key_parameters(),
    [Error::KeyNotFound],
);

/// Application and ID of a key.
pub struct KeyPath(pub AppId, pub KeyId);

fn app(request: &HttpRequest) -> Option<AppId> {
    AppId::parse(&segment(request, "app"))
}

fn app_parameters() -> Vec<Parameter> {
    let schema = text().pattern(Some("^[0-9a-f]{8}$"));
    let app = ("app", "The application's id.");
    vec![parameter(ParameterIn::Path, app, schema, "dec969c6")]
}

fn chat(request: &HttpRequest) -> Option<ChatKey> {
    let app = app(request)?;
    let number = parse_number(&segment(request, "chat"))?;
    Some(ChatKey { app, number })
}

fn chat_parameters() -> Vec<Parameter> {
    let chat = ("chat", "The chat's number within its application.");
    let chat = parameter(ParameterIn::Path, chat, integer(1, MAX_NUMBER), 5);
    [app_parameters(), vec![chat]].concat()
}

fn message(request: &HttpRequest) -> Option<MessageKey> {
    let chat = chat(request)?;
    let number = parse_number(&segment(request, "message"))?;
    Some(MessageKey { chat, number })
}

fn message_parameters() -> Vec<Parameter> {
    let message = ("message", "The message's number within its chat.");
    let message = parameter(ParameterIn::Path, message, integer(1, MAX_NUMBER), 3);
    [chat_parameters(), vec![message]].concat()
}

fn key(request: &HttpRequest) -> Option<KeyPath> {
    let app = app(request)?;
    let id = KeyId::parse(&segment(request, "keyID"))?;
    Some(KeyPath(app, id))
}

fn key_parameters() -> Vec<Parameter> {
    let schema = text().pattern(Some("^[0-9a-z]{12}$"));
    let key = ("keyID", "The key's ID.");
    let key = parameter(ParameterIn::Path, key, schema, "3k9x0p2m7q1z");
    [app_parameters(), vec![key]].concat()
}

/// Parses the keys in a path: the application and the chat, if the path has them.
///
/// # Errors
///
/// The error of the extractor for the whole path, if one of its segments is not valid.
pub fn parts(request: &HttpRequest) -> Result<(Option<AppId>, Option<Number>), Error> {
    let has = |name| request.match_info().get(name).is_some();
    if has("keyID") {
        let key = key(request).ok_or(Error::KeyNotFound)?;
        return Ok((Some(key.0), None));
    }
    if has("message") {
        let MessageKey { chat, .. } = message(request).ok_or(Error::NotFound(Entity::Message))?;
        return Ok((Some(chat.app), Some(chat.number)));
    }
    if has("chat") {
        let key = chat(request).ok_or(Error::NotFound(Entity::Chat))?;
        return Ok((Some(key.app), Some(key.number)));
    }
    if has("app") {
        let app = app(request).ok_or(Error::NotFound(Entity::Application))?;
        return Ok((Some(app), None));
    }
    Ok((None, None))
}

/// Decodes a segment. Bytes that are not UTF-8 become U+FFFD, which no valid segment holds.
pub fn segment<'a>(request: &'a HttpRequest, name: &str) -> Cow<'a, str> {
    let raw = request.match_info().get(name).unwrap_or_default();
    match raw.contains('%') {
        true => percent_decode_str(raw).decode_utf8_lossy(),
        false => Cow::Borrowed(raw),
    }
}
