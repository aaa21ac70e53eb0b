//! Reading the one text that a request's JSON body holds.

use std::fmt;

use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, Payload},
};
use mime::Mime;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::error::{HttpError, MAX_BODY_BYTES};
use crate::domain::Invalid;

/// Reads the member `key` of a JSON object; `field` is its name in error texts. Other members are passed over.
pub async fn text(
    request: &HttpRequest,
    payload: Payload,
    key: &'static str,
    field: &'static str,
) -> Result<String, HttpError> {
    let body = read(payload).await?;
    if body.is_empty() {
        return Err(Invalid::Required(field).into());
    }
    if !is_declared_json(request) {
        return Err(HttpError::NotDeclaredJson);
    }
    Ok(parse(&body, key, field)?)
}

async fn read(payload: Payload) -> Result<Bytes, HttpError> {
    match payload.to_bytes_limited(MAX_BODY_BYTES).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_broken_off)) => Err(HttpError::BodyUnreadable),
        Err(_too_long) => Err(HttpError::BodyTooLarge),
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
    let mut json = serde_json::Deserializer::from_slice(body);
    // A nesting of any depth is passed over without recursion; only what is looked into is bounded.
    let document = json
        .deserialize_any(Document { key })
        .and_then(|document| json.end().map(|()| document));
    match document {
        Ok(Member::Text(text)) => Ok(text),
        Ok(Member::Missing) => Err(Invalid::Required(field)),
        Ok(Member::NotText) => Err(Invalid::NotAString(field)),
        Err(error) if error.is_data() => Err(Invalid::NotAnObject),
        Err(_) => Err(Invalid::NotJson),
    }
}

/// What a member of the body is.
enum Member {
    Text(String),
    /// Absent or null.
    Missing,
    NotText,
}

/// The whole body; of a key that comes twice, the last counts.
struct Document {
    key: &'static str,
}

impl<'de> Visitor<'de> for Document {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        let mut member = Member::Missing;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.key {
                member = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(member)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(raw).map_err(serde::de::Error::custom)?),
            Some(b'n') => Self::Missing,
            _ => Self::NotText,
        })
    }
}
