//! Body of a request: a JSON object.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use actix_http::h1;
use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    body::{BodyStream, to_bytes_limited},
    dev::{Payload, ServiceRequest},
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
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

/// UTF-8 byte order mark, which some programs write before JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Time limit for the arrival of a body, in the application's data.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// Time after which a body is late. Ordinary bodies arrive earlier.
pub const LATE: Duration = Duration::from_millis(100);

/// Check of a request whose body was late, in the application's data.
#[derive(Debug, Clone, Copy)]
pub struct LateCheck(pub fn(HttpRequest) -> LocalBoxFuture<'static, Result<(), HttpError>>);

/// Extractor of a JSON object. It must be the last argument of its handler.
pub struct JsonBody<T>(pub T);

/// JSON object of known members. Others are ignored.
pub trait Body: Sized {
    /// Members that are required texts.
    const TEXTS: &'static [TextMember];

    /// Keys of further members.
    const FURTHER: &'static [&'static str] = &[];

    /// Errors of the further members, for the description of the API.
    fn further_errors() -> Vec<Invalid> {
        Vec::new()
    }

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
    ///
    /// # Errors
    ///
    /// The member is missing, `null` or no text, or its text has an unpaired surrogate.
    pub fn text(&self, &TextMember(key, field, _): &TextMember) -> Result<String, Invalid> {
        let value = self.0.get(key).map_or("null", |value| value.get());
        match value.as_bytes().first() {
            // The grammar was checked before, so only an unpaired surrogate is left.
            Some(b'"') => serde_json::from_str(value).map_err(|_| Invalid::Surrogate(field)),
            Some(b'n') => Err(Invalid::Required(field)),
            _ => Err(Invalid::NotAString(field)),
        }
    }

    /// Returns the text of a member that may be missing or `null`.
    ///
    /// # Errors
    ///
    /// The member is no text, or its text has an unpaired surrogate.
    pub fn optional_text(&self, member: &TextMember) -> Result<Option<String>, Invalid> {
        let given = self.json(member.0);
        given.map(|_| self.text(member)).transpose()
    }

    /// Returns the JSON of a member; `None` if it is missing or `null`.
    pub fn json(&self, key: &str) -> Option<&RawValue> {
        let value = self.0.get(key).copied();
        value.filter(|value| value.get() != "null")
    }
}

impl<T: Body> FromRequest for JsonBody<T> {
    type Error = HttpError;
    type Future = LocalBoxFuture<'static, Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let begun = Instant::now();
            let body = read(&request, payload).await?;
            if begun.elapsed() > LATE
                && let Some(LateCheck(check)) = request.app_data()
            {
                check(request.clone()).await?;
            }
            let members = match body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&body) {
                [] => Members::default(),
                _ if !is_json(&request) => return Err(HttpError::NotDeclaredJson),
                _ if is_encoded(&request) => return Err(HttpError::Encoded),
                json => parse(json, &Known::of::<T>())?,
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
            errors.push(Invalid::Surrogate(field).into());
        }
        errors.extend(T::further_errors().into_iter().map(HttpError::from));
        errors.push(Invalid::NotJson.into());
        errors.push(Invalid::NotAnObject.into());
        errors.push(HttpError::BodyUnreadable);
        errors.push(HttpError::BodyTooSlow);
        errors.push(HttpError::BodyTooLarge);
        errors.push(HttpError::NotDeclaredJson);
        errors.push(HttpError::Encoded);
        describe(errors)
    }
}

/// Checks the size of a body before its extractor reads it. A body that does not declare its size is read, up to the limit,
/// and put back. Returns the time that reading took.
///
/// # Errors
///
/// The errors of reading a body.
pub async fn check_size(request: &mut ServiceRequest) -> Result<Duration, HttpError> {
    let begun = Instant::now();
    match declared_length(request.request()) {
        Some(length) if length > MAX_BODY_BYTES => Err(HttpError::BodyTooLarge),
        None if request.headers().contains_key(TRANSFER_ENCODING) => {
            let payload = request.take_payload();
            let body = read(request.request(), payload).await?;
            let (_, mut payload) = h1::Payload::create(true);
            payload.unread_data(body);
            request.set_payload(payload.into());
            Ok(begun.elapsed())
        }
        _ => Ok(Duration::ZERO),
    }
}

async fn read(request: &HttpRequest, payload: Payload) -> Result<Bytes, HttpError> {
    if declared_length(request).is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(HttpError::BodyTooLarge);
    }
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

/// Value of the `Content-Length` header.
fn declared_length(request: &HttpRequest) -> Option<usize> {
    let length = request.headers().get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Checks whether a body has a content coding, such as gzip.
fn is_encoded(request: &HttpRequest) -> bool {
    let mut codings = request
        .headers()
        .get_all(CONTENT_ENCODING)
        .flat_map(|value| {
            let codings = value.as_bytes().split(|byte| *byte == b',');
            codings.map(<[u8]>::trim_ascii)
        });
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
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

/// Keys of the known members.
struct Known(&'static [TextMember], &'static [&'static str]);

impl Known {
    fn of<T: Body>() -> Self {
        Self(T::TEXTS, T::FURTHER)
    }

    /// Returns the known key that this JSON text of a key stands for.
    fn find(&self, json: &str) -> Option<&'static str> {
        let texts = self.0.iter().map(|text| text.0);
        let mut keys = texts.chain(self.1.iter().copied());
        keys.find(|known| is_key(json, known))
    }
}

/// Visitor of an object that skips unknown members, whatever their number, size and depth.
struct MembersVisitor<'a>(&'a Known);

impl<'de> Visitor<'de> for MembersVisitor<'_> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        // Not parsed, because an unknown key may have unpaired surrogates.
        while let Some(key) = map.next_key::<&RawValue>()? {
            match self.0.find(key.get()) {
                Some(known) => drop(members.0.insert(known, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

/// Compares the JSON text of a key with a name.
fn is_key(json: &str, name: &str) -> bool {
    let unquoted = json.get(1..json.len() - 1);
    let is_escaped = json.contains('\\');
    unquoted == Some(name)
        || is_escaped && serde_json::from_str::<String>(json).is_ok_and(|key| key == name)
}

/// Parses an object without the values of its members.
fn parse<'a>(body: &'a [u8], known: &Known) -> Result<Members<'a>, Invalid> {
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
