//! Requests that a browser sends for a page of another site.
//!
//! Browsers send many requests of other sites' pages without asking for permission, such as forms. They say so in two headers,
//! which pages cannot set. `Sec-Fetch-Site` is the more reliable one, because proxies do not change what it means. Browsers
//! send it to HTTPS and loopback addresses; elsewhere `Origin` is compared with the names of this server. Clients that are not
//! browsers send neither.

use actix_web::http::header::{HeaderMap, HeaderName, ORIGIN};

/// Tells whether a browser marks a request as sent by another site. Another port of this machine counts as another site. `own`
/// are the server's names with their ports, as in `Host`; `trusted` are the origins that may do everything.
pub fn is_cross_site(headers: &HeaderMap, own: &[&str], trusted: &[String]) -> bool {
    let origin = text(headers, &ORIGIN);
    let is_trusted =
        || origin.is_some_and(|origin| trusted.iter().any(|trusted| trusted == origin));
    let sec_fetch_site = HeaderName::from_static("sec-fetch-site");
    match text(headers, &sec_fetch_site) {
        Some("same-origin" | "none") => false,
        Some(_) => !is_trusted(),
        None => origin.is_some_and(|origin| !is_own(origin, own)) && !is_trusted(),
    }
}

fn is_own(origin: &str, own: &[&str]) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| own.iter().any(|host| host.eq_ignore_ascii_case(authority)))
}

/// Value of a header; a text that no browser sends if it is not ASCII.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn sec_fetch_site_decides_before_origin() {
        let trusted = ["https://chat.example.com".to_owned()];
        let is = |site: Option<&'static str>, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    let name = HeaderName::from_static(name);
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            is_cross_site(&headers, &["api.example:3001"], &trusted)
        };
        assert!(!is(None, None));
        assert!(!is(Some("same-origin"), Some("https://other.example")));
        assert!(is(Some("same-site"), Some("http://api.example:3001")));
        assert!(is(Some(""), None));
        assert!(!is(Some("cross-site"), Some("https://chat.example.com")));
        assert!(!is(None, Some("https://API.example:3001")));
        assert!(is(None, Some("http://api.example")));
        assert!(is(None, Some("null")));
        assert!(is(None, Some("")));
    }
}
