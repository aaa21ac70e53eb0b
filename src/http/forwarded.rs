//! Headers in which reverse proxies describe a request: `X-Forwarded-For`, `X-Forwarded-Host` and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use actix_web::http::header::{
    FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR, X_FORWARDED_HOST,
};

use crate::config::ProxyHeader;

/// Address of the client that the outermost of `proxies` trusted proxies saw. Each proxy appends the address of its peer;
/// anyone may have written the entries before those.
pub fn client(headers: &HeaderMap, proxies: usize, header: ProxyHeader) -> Option<IpAddr> {
    let position = proxies.checked_sub(1)?;
    let has_simple_header = headers.contains_key(X_FORWARDED_FOR);
    if header == ProxyHeader::XForwardedFor && has_simple_header {
        return address(entries(headers, X_FORWARDED_FOR).nth(position)?);
    }
    let entry = entries(headers, FORWARDED).nth(position)?;
    address(parameter(entry, "for")?)
}

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
        .map(|value| value.to_str().unwrap_or_default())
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

/// Address of a node, with or without a port and brackets: `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]:_hidden`.
fn address(node: &str) -> Option<IpAddr> {
    let node = node.trim_matches('"');
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let name = match (bracketed, node.split_once(':')) {
        (Some((address, _)), _) => address,
        (None, Some((address, port))) if !port.contains(':') => address,
        (None, _) => node,
    };
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn client_is_the_address_that_the_outermost_proxy_saw() {
        let is = |proxies, values: &[&'static str], wanted: &str| {
            let headers = headers(X_FORWARDED_FOR, values);
            let seen = client(&headers, proxies, ProxyHeader::XForwardedFor);
            assert_eq!(seen, wanted.parse().ok(), "{values:?}");
        };
        is(0, &["1.1.1.1"], "none");
        is(1, &["1.1.1.1"], "1.1.1.1");
        is(1, &["9.9.9.9, 1.1.1.1"], "1.1.1.1");
        is(2, &["9.9.9.9, 1.1.1.1", "2.2.2.2"], "1.1.1.1");
        is(1, &["nobody"], "none");
        is(3, &["1.1.1.1"], "none");
        is(1, &["2001:db8::1"], "2001:db8::1");
        is(1, &["[2001:db8::1]"], "2001:db8::1");
        is(1, &["[2001:db8::1]:41000"], "2001:db8::1");
        is(1, &["203.0.113.9:41000"], "203.0.113.9");
        is(1, &["\"[2001:db8::1]:41000\""], "2001:db8::1");
        is(1, &["203.0.113.9:"], "203.0.113.9");
        is(1, &["[]:1", ""], "none");
    }

    #[test]
    fn forwarded_has_the_address_in_a_parameter() {
        let is = |proxies, values: &[&'static str], wanted: &str| {
            let headers = headers(FORWARDED, values);
            for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
                let seen = client(&headers, proxies, header);
                assert_eq!(seen, wanted.parse().ok(), "{values:?}");
            }
        };
        is(
            1,
            &["for=192.0.2.60;proto=http;by=203.0.113.43"],
            "192.0.2.60",
        );
        is(1, &["by=10.0.0.1; For=\"192.0.2.60:4711\""], "192.0.2.60");
        is(
            1,
            &["for=\"[2001:db8:cafe::17]:4711\""],
            "2001:db8:cafe::17",
        );
        is(
            1,
            &["for=\"[2001:db8:cafe::17]:_port\""],
            "2001:db8:cafe::17",
        );
        is(1, &["for=9.9.9.9, for=192.0.2.60"], "192.0.2.60");
        is(
            2,
            &["for=9.9.9.9, for=192.0.2.60", "for=192.0.2.1"],
            "192.0.2.60",
        );
        // A quote that a client opens does not swallow what the proxy appends.
        is(1, &["for=\"9.9.9.9, for=192.0.2.60"], "192.0.2.60");
        is(1, &["for=unknown"], "none");
        is(1, &["for=_hidden"], "none");
        is(1, &["proto=https"], "none");
    }

    #[test]
    fn only_the_header_that_proxies_write_is_trusted() {
        let mut both = headers(X_FORWARDED_FOR, &["192.0.2.1"]);
        both.append(FORWARDED, HeaderValue::from_static("for=192.0.2.2"));
        let seen = |header| client(&both, 1, header);
        assert_eq!(seen(ProxyHeader::XForwardedFor), "192.0.2.1".parse().ok());
        assert_eq!(seen(ProxyHeader::Forwarded), "192.0.2.2".parse().ok());
        let simple = headers(X_FORWARDED_FOR, &["192.0.2.1"]);
        assert_eq!(client(&simple, 1, ProxyHeader::Forwarded), None);
    }
}
