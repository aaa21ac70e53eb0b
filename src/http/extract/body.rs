//! Body of a request: a JSON object.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    body::{BodyStream, to_bytes_limited},
    dev::Payload,
    web::Bytes,
};
use futures_util::future::{FutureExt, LocalBoxFuture};
use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::time::timeout;
use utoipa::IntoResponses;

use crate::{
    domain::Invalid,
    http::{
        error::{HttpError, MAX_BODY_BYTES},
        error_responses::{Responses, describe},
    },
};

/// Time limit for the arrival of a body, in the application's data.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// Extractor of a JSON object. It must be the last argument of its handler.
pub struct JsonBody<T>(pub T);

/// JSON object of known members. Others are ignored.
pub trait Body: Sized {
    /// Members that are texts.
    const TEXTS: &'static [TextMember];

    /// Parses the members.
    fn parse(members: &Members<'_>) -> Result<Self, Invalid>;
}

/// Member that is a text: its key, its name in errors, and its highest number of characters.
pub struct TextMember(pub &'static str, pub &'static str, pub usize);

/// Known members of an object. Of a repeated key it holds the last.
#[derive(Default)]
pub struct Members<'a>(BTreeMap<&'static str, &'a RawValue>);

impl Members<'_> {
    /// Returns the text of a member.
    pub fn text(&self, &TextMember(key, field, _): &TextMember) -> Result<String, Invalid> {
        let value = self.0.get(key).map_or("null", |value| value.get());
        match value.as_bytes().first() {
            Some(b'"') => serde_json::from_str(value).map_err(|_| Invalid::NotJson),
            Some(b'n') => Err(Invalid::Required(field)),
            _ => Err(Invalid::NotAString(field)),
        }
    }
}

impl<T: Body> FromRequest for JsonBody<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let body = read(&request, payload).await?;
            let members = if body.is_empty() {
                Members::default()
            } else if is_json(&request) {
                parse(&body, T::TEXTS)?
            } else {
                return Err(HttpError::NotDeclaredJson);
            };
            Ok(Self(T::parse(&members)?))
        }
        .boxed_local()
    }
}

impl<T: Body> IntoResponses for JsonBody<T> {
    fn responses() -> Responses {
        let mut errors = Vec::new();
        for &TextMember(_, field, limit) in T::TEXTS {
            errors.push(Invalid::Required(field).into());
            errors.push(Invalid::NotAString(field).into());
            errors.push(Invalid::TooLong { field, limit }.into());
            errors.push(Invalid::Nul(field).into());
        }
        errors.push(Invalid::NotJson.into());
        errors.push(Invalid::NotAnObject.into());
        errors.push(HttpError::BodyUnreadable);
        errors.push(HttpError::BodyTooSlow);
        errors.push(HttpError::BodyTooLarge);
        errors.push(HttpError::NotDeclaredJson);
        describe(errors)
    }
}

async fn read(request: &HttpRequest, payload: Payload) -> Result<Bytes, HttpError> {
    let body = to_bytes_limited(BodyStream::new(payload), MAX_BODY_BYTES);
    let limit = request
        .app_data()
        .map_or(Duration::MAX, |&BodyTimeout(limit)| limit);
    match timeout(limit, body).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_incomplete))) => Err(HttpError::BodyUnreadable),
        Ok(Err(_too_large)) => Err(HttpError::BodyTooLarge),
        Err(_too_slow) => Err(HttpError::BodyTooSlow),
    }
}

/// Checks that the `Content-Type` is JSON or missing.
fn is_json(request: &HttpRequest) -> bool {
    match request.mime_type() {
        Ok(Some(mime)) => {
            mime.type_() == mime::APPLICATION
                && (mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON))
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Visitor of an object that skips unknown members, whatever their number, size and depth.
struct MembersVisitor(&'static [TextMember]);

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match self.0.iter().find(|known| known.0 == key) {
                Some(known) => drop(members.0.insert(known.0, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

/// Parses an object without the values of its members.
fn parse<'a>(body: &'a [u8], known: &'static [TextMember]) -> Result<Members<'a>, Invalid> {
    // The whole body is checked here, because serde_json does not check the UTF-8 of values that it skips.
    let body = str::from_utf8(body).map_err(|_| Invalid::NotJson)?;
    let mut json = serde_json::Deserializer::from_str(body);
    let members = json.deserialize_map(MembersVisitor(known));
    let members = members.and_then(|members| json.end().map(|()| members));
    members.map_err(|_| {
        let is_object = body
            .trim_start_matches([' ', '\t', '\r', '\n'])
            .starts_with('{');
        match !is_object && serde_json::from_str::<IgnoredAny>(body).is_ok() {
            true => Invalid::NotAnObject,
            false => Invalid::NotJson,
        }
    })
}
