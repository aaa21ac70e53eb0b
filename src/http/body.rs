//! Reading the one text that a request's JSON body holds.

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, Payload},
};
use mime::Mime;
use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::error::{HttpError, MAX_BODY_BYTES};
use crate::domain::Invalid;

/// Reads the member `key` of a JSON object; `field` is its name in error texts. Other members are passed over.
pub async fn text(
    request: &HttpRequest,
    payload: Payload,
    key: &'static str,
    field: &'static str,
) -> Result<String, HttpError> {
    let body = read(request, payload).await?;
    if body.is_empty() {
        return Err(Invalid::Required(field).into());
    }
    if !is_declared_json(request) {
        return Err(HttpError::NotDeclaredJson);
    }
    Ok(parse(&body, key, field)?)
}

/// How long a body may take to arrive, in the application's data.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

async fn read(request: &HttpRequest, payload: Payload) -> Result<Bytes, HttpError> {
    let body = payload.to_bytes_limited(MAX_BODY_BYTES);
    let body = match request.app_data::<BodyTimeout>() {
        Some(BodyTimeout(time)) => timeout(*time, body).await,
        None => Ok(body.await),
    };
    match body {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_broken_off))) => Err(HttpError::BodyUnreadable),
        Ok(Err(_too_long)) => Err(HttpError::BodyTooLarge),
        Err(_too_slow) => Err(HttpError::BodyTooSlow),
    }
}

/// What has no declaration is taken for JSON.
fn is_declared_json(request: &HttpRequest) -> bool {
    let Some(declared) = request.headers().get(header::CONTENT_TYPE) else {
        return true;
    };
    let declared = declared
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Mime>().ok());
    declared.is_some_and(|mime| {
        mime.type_() == mime::APPLICATION
            && (mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON))
    })
}

fn parse(body: &[u8], key: &'static str, field: &'static str) -> Result<String, Invalid> {
    // Once for the whole: what is passed over is not looked into.
    let body = str::from_utf8(body).map_err(|_| Invalid::NotJson)?;
    let text = body.trim_start_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('{') {
        let json = serde_json::from_str::<IgnoredAny>(body);
        return Err(json.map_or(Invalid::NotJson, |_| Invalid::NotAnObject));
    }
    let mut json = serde_json::Deserializer::from_str(body);
    let member = json.deserialize_map(Document { key });
    let member = member.and_then(|member| json.end().map(|()| member));
    let member = member.map_err(|_| Invalid::NotJson)?;
    let member = member.map_or("null", RawValue::get);
    match member.as_bytes().first() {
        Some(b'"') => serde_json::from_str(member).map_err(|_| Invalid::NotJson),
        Some(b'n') => Err(Invalid::Required(field)),
        _ => Err(Invalid::NotAString(field)),
    }
}

/// Finds one member of an object, as it stands; of a key that comes twice, the last. Values of whatever size and depth
/// are passed over without recursion.
struct Document {
    key: &'static str,
}

impl<'de> Visitor<'de> for Document {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut member = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.key {
                member = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(member)
    }
}
