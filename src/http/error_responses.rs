//! Errors as the description tells them: for each kind of route the same values that handlers return, so that texts,
//! statuses and headers are the server's own.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses,
    openapi::{
        Content, Ref, RefOr, Response, Type, example::Example, example::ExampleBuilder,
        header::HeaderBuilder, response::ResponseBuilder, schema::ObjectBuilder,
    },
};

use super::{
    error::HttpError,
    paging::{LIST_LIMITS, Limits, SEARCH_LIMITS},
};
use crate::domain::{
    Entity, Error, Invalid, application::MAX_USERNAME_CHARS, message::MAX_MESSAGE_CHARS,
    number::MAX_NUMBER, text::MAX_QUERY_CHARS,
};

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident: $errors:expr;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                describe($errors)
            }
        }
    )+};
}

answers! {
    /// The path names an application.
    NoApplication: vec![Error::NotFound(Entity::Application).into()];
    /// The path names a chat.
    NoChat: vec![Error::NotFound(Entity::Chat).into()];
    /// The path names a message.
    NoMessage: vec![Error::NotFound(Entity::Message).into()];
    /// The body holds a username.
    BadUsername: body("Username", MAX_USERNAME_CHARS);
    /// The body holds a message.
    BadMessage: body("Message", MAX_MESSAGE_CHARS);
    /// The query names a page of a list.
    BadPage: page(&LIST_LIMITS);
    /// The query names a page of hits.
    BadSearch: {
        let mut errors = page(&SEARCH_LIMITS);
        errors.push(Invalid::TooLong { field: "Query", limit: MAX_QUERY_CHARS }.into());
        errors
    };
    /// What is asked for is read from the stores.
    ReadFails: vec![unavailable(), internal()];
    /// What is asked for goes into the queue.
    WriteFails: vec![
        unavailable(),
        Error::Full { detail: String::new() }.into(),
        internal(),
    ];
}

fn unavailable() -> HttpError {
    HttpError::Domain(Error::Unavailable {
        store: "",
        detail: String::new(),
    })
}

fn internal() -> HttpError {
    HttpError::Domain(Error::Internal {
        detail: String::new(),
    })
}

fn body(field: &'static str, limit: usize) -> Vec<HttpError> {
    vec![
        Invalid::Required(field).into(),
        Invalid::NotAString(field).into(),
        Invalid::TooLong { field, limit }.into(),
        Invalid::Nul(field).into(),
        Invalid::NotJson.into(),
        Invalid::NotAnObject.into(),
        HttpError::BodyUnreadable,
        HttpError::BodyTooSlow,
        HttpError::BodyTooLarge,
        HttpError::NotDeclaredJson,
    ]
}

fn page(limits: &Limits) -> Vec<HttpError> {
    let most = limits.most as u64;
    [
        ("limit", 1, most),
        ("after", 0, MAX_NUMBER),
        ("before", 1, MAX_NUMBER),
    ]
    .map(|(name, min, max)| Invalid::Parameter { name, min, max }.into())
    .into()
}

/// A response for each status among the errors, with each of their texts as an example.
pub fn describe(errors: Vec<HttpError>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<u16, Vec<HttpError>>::new();
    for error in errors {
        by_status
            .entry(error.status().as_u16())
            .or_default()
            .push(error);
    }
    by_status
        .into_iter()
        .map(|(status, errors)| (status.to_string(), response(&errors).into()))
        .collect()
}

fn response(errors: &[HttpError]) -> Response {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let examples = texts.iter().map(|text| {
        let example = ExampleBuilder::new().value(Some(json!({"error": text})));
        (text.clone(), RefOr::<Example>::from(example))
    });
    let mut content = Content::new(Some(Ref::from_schema_name("Error")));
    content.examples = examples.collect();
    let mut response = ResponseBuilder::new()
        .description(texts.join("; "))
        .content("application/json", content);
    if let Some(seconds) = errors.iter().find_map(HttpError::retry_after) {
        let whole = ObjectBuilder::new().schema_type(Type::Integer).build();
        let mut header = HeaderBuilder::new()
            .schema(Some(whole))
            .description(Some("Seconds until it is worth another try."))
            .build();
        header.example = Some(json!(seconds));
        response = response.header("Retry-After", header);
    }
    response.build()
}
