//! What reverse proxies say of a request: `X-Forwarded-Host` and `Forwarded` (RFC 7239).

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_HOST};

/// Names under which clients asked proxies for this server, as in `Host`.
pub fn hosts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let forwarded = entries(headers, FORWARDED).filter_map(|entry| parameter(entry, "host"));
    entries(headers, X_FORWARDED_HOST).chain(forwarded)
}

/// Entries of a header, which may be repeated, the last one first.
///
/// A comma within quotes separates entries, too: what proxies write holds none, and a client that opens a quote must not
/// hide the entries that proxies append.
fn entries(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values: Vec<&str> = headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
        .collect();
    let entries = values.into_iter().rev().flat_map(|value| value.rsplit(','));
    entries.map(str::trim)
}

/// Value of a parameter of an entry of `Forwarded`.
fn parameter<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let is_it = key.trim().eq_ignore_ascii_case(name);
        is_it.then(|| value.trim().trim_matches('"'))
    })
}
