//! Condition on the version of a message, in the header `If-Match`.

use actix_web::HttpRequest;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::{parameter, text};
use crate::{
    domain::{Condition, Error, Revision},
    http::error::HttpError,
};

extractor!(
    [] IfMatch,
    |request| Ok::<_, HttpError>(IfMatch::read(request)),
    vec![describe()],
    [Error::Changed],
);

/// Extractor of a condition. A malformed ETag matches no version.
pub struct IfMatch(pub Option<Condition>);

impl IfMatch {
    fn read(request: &HttpRequest) -> Self {
        let mut values = request.headers().get_all("if-match").peekable();
        if values.peek().is_none() {
            return Self(None);
        }
        let mut revisions = Vec::new();
        let texts = values.filter_map(|value| value.to_str().ok());
        for tag in texts.flat_map(|text| text.split(',')) {
            let tag = tag.trim_matches([' ', '\t']);
            if tag == "*" {
                return Self(Some(Condition::Exists));
            }
            revisions.extend(parse_etag(tag));
        }
        revisions.sort_unstable();
        revisions.dedup();
        Self(Some(Condition::AnyOf(revisions)))
    }
}

/// ETag of a version of a message: strong, as it names the version and not a representation.
pub fn etag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// Parses an ETag that [`etag`] wrote. Proxies that compress responses make it weak.
fn parse_etag(tag: &str) -> Option<Revision> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let revision = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_lowercase = revision
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Revision::parse(revision).filter(|_| is_lowercase)
}

fn describe() -> Parameter {
    let description = "ETags of the message; the request is accepted only if the message has one of these versions.";
    let name = ("If-Match", description);
    parameter(ParameterIn::Header, name, text(), "\"000003000000004d\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_read_back_and_malformed_ones_match_nothing() {
        let revision = Revision(3 << 40 | 77);
        assert_eq!(etag(revision), "\"000003000000004d\"");
        assert_eq!(parse_etag(&etag(revision)), Some(revision));
        assert_eq!(parse_etag("W/\"000003000000004d\""), Some(revision));
        for malformed in [
            "",
            "\"",
            "000003000000004d",
            "w/\"000003000000004d\"",
            "\"000003000000004D\"",
            "\"4d\"",
        ] {
            assert_eq!(parse_etag(malformed), None, "{malformed:?}");
        }
    }
}
