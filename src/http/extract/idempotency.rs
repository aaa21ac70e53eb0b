//! Idempotency key of a creation, in the header `Idempotency-Key`.

use actix_web::HttpRequest;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::{parameter, text};
use crate::{domain::Invalid, http::error::HttpError};

/// Header of the key.
const HEADER: &str = "idempotency-key";

/// Maximum number of characters of a key.
const MAX_CHARS: usize = 255;

extractor!(
    [] IdempotencyHeader,
    IdempotencyHeader::parse,
    vec![describe()],
    ERRORS,
);

/// Errors of the header.
pub const ERRORS: [Invalid; 2] = [
    Invalid::IdempotencyKey(MAX_CHARS),
    Invalid::RepeatedHeader("Idempotency-Key"),
];

/// Extractor of an idempotency key.
pub struct IdempotencyHeader(Option<String>);

impl IdempotencyHeader {
    /// Returns the key, without quotes.
    pub fn key(&self) -> Option<&str> {
        self.0.as_deref()
    }

    fn parse(request: &HttpRequest) -> Result<Self, Invalid> {
        let mut values = request.headers().get_all(HEADER);
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(Invalid::RepeatedHeader("Idempotency-Key"));
        }
        let key = value.to_str().ok().and_then(parse_key);
        let key = key.ok_or(Invalid::IdempotencyKey(MAX_CHARS))?;
        Ok(Self(Some(key.to_owned())))
    }
}

/// Parses a key. The quotes around it are those of a string in a structured header (RFC 9651), as in the IETF draft.
fn parse_key(value: &str) -> Option<&str> {
    let unquoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let key = unquoted.unwrap_or(value);
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    (is_visible && (1..=MAX_CHARS).contains(&key.len())).then_some(key)
}

fn describe() -> Parameter {
    let schema = text()
        .min_length(Some(1))
        .max_length(Some(MAX_CHARS))
        .pattern(Some("^[!-~]*$"));
    let description = "A random key, such as a UUID: a repeated request with the same key creates nothing and returns the \
        response of the first one, with the header `Idempotent-Replayed`.";
    let name = ("Idempotency-Key", description);
    let example = "5f0c6f0e-6f57-4d1c-a2a7-0d9b3c1f2e11";
    parameter(ParameterIn::Header, name, schema, example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_with_or_without_quotes() {
        let longest = "x".repeat(MAX_CHARS);
        assert_eq!(parse_key("a-1"), Some("a-1"));
        assert_eq!(parse_key("\"a-1\""), Some("a-1"));
        assert_eq!(parse_key("a\"b"), Some("a\"b"));
        assert_eq!(parse_key(&longest), Some(longest.as_str()));
        for malformed in ["", "\"\"", "a b", "é", "a\u{7f}", &format!("{longest}x")] {
            assert_eq!(parse_key(malformed), None, "{malformed:?}");
        }
    }
}
