//! Bodies of rejections: actix-http responds to malformed HTTP itself, with a head and no body, before any route or
//! middleware sees the request. It has no hook for these responses, so they are found where they are written.

/// Start of a head in HTTP/1.0 or HTTP/1.1.
const HEAD: &[u8] = b"HTTP/1.";

/// End of a head.
const END: &[u8] = b"\r\n\r\n";

/// Upper bound of the size of a rejection by actix-http.
const MAX_BYTES: usize = 256;

/// Finds a rejection by actix-http at the end of what is written. It is the last response of its connection.
///
/// No other response matches: each response of a route has a request ID, and no body ends in two line breaks.
pub fn find(written: &[u8]) -> Option<usize> {
    if !written.ends_with(END) {
        return None;
    }
    let from = written.len().saturating_sub(MAX_BYTES);
    let last = written[from..]
        .windows(HEAD.len())
        .rposition(|window| window == HEAD)?;
    let head = str::from_utf8(&written[from + last..]).ok()?;
    let lines: Vec<&str> = head.split("\r\n").collect();
    let has = |name| lines.iter().any(|line| line.starts_with(name));
    (error_text(head).is_some() && has("content-length: 0") && !has("x-request-id:"))
        .then_some(from + last)
}

/// Returns a rejection with a body.
pub fn with_body(rejection: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(rejection);
    let text = error_text(&head).unwrap_or_default();
    let body = serde_json::json!({ "error": text }).to_string();
    let length = format!("content-length: {}", body.len());
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    lines.retain(|line| !line.starts_with("content-length:") && !line.starts_with("connection:"));
    lines.extend([
        &*length,
        "content-type: application/json",
        "cache-control: no-store",
        "connection: close",
        "",
        &body,
    ]);
    lines.join("\r\n").into_bytes()
}

/// Text for the status in the first line of a head.
fn error_text(head: &str) -> Option<&'static str> {
    match head.split(' ').nth(1)? {
        "400" => Some("Request must be valid HTTP/1.1"),
        "408" => Some("Head of the request took too long to arrive"),
        "431" => Some("Head of the request is too large"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REJECTION: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
        date: Fri, 27 Nov 2026 14:00:00 GMT\r\n\r\n";

    #[test]
    fn rejections_are_found_behind_other_responses() {
        let found = |text: &str| find(text.as_bytes());
        assert_eq!(found(REJECTION), Some(0));
        let before = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(found(&format!("{before}{REJECTION}")), Some(before.len()));
        let long = "x".repeat(100_000);
        assert_eq!(found(&format!("{long}{REJECTION}")), Some(long.len()));
    }

    #[test]
    fn other_responses_are_left_alone() {
        for other in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n",
            &REJECTION.replace("date:", "x-request-id: 1\r\ndate:"),
            &REJECTION.replace("length: 0", "length: 26"),
            &format!("{REJECTION}."),
        ] {
            assert_eq!(find(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn rejection_gets_a_body() {
        let rejection = String::from_utf8(with_body(REJECTION.as_bytes())).expect("a text");
        let (head, body) = rejection.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body, r#"{"error":"Request must be valid HTTP/1.1"}"#);
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        lines.sort_unstable();
        let expected = [
            "HTTP/1.1 400 Bad Request",
            "cache-control: no-store",
            "connection: close",
            "content-length: 42",
            "content-type: application/json",
            "date: Fri, 27 Nov 2026 14:00:00 GMT",
        ];
        assert_eq!(lines, expected);
    }
}
