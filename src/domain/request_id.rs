//! Request IDs, which link a client's response, the log lines and the job of one request.

use std::{fmt, sync::Arc};

/// Maximum length of a client's ID in characters.
const LONGEST: usize = 128;

/// ID of a request. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new one: 16 hexadecimal digits. They are short, as every job carries one.
    pub fn random() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()).into())
    }

    /// Accepts an ID that a client or a proxy sent: 1 to 128 visible ASCII characters, else `None`.
    pub fn given(text: &str) -> Option<Self> {
        let fits =
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The trace that a request belongs to: the trace id of a W3C `traceparent` header, 32 hexadecimal digits.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = traceparent.splitn(4, '-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    // Later versions may append fields after the flags.
    let flags = parts.next()?.split('-').next()?;
    let lengths = [(version, 2), (trace, 32), (parent, 16), (flags, 2)];
    let is_valid = lengths
        .iter()
        .all(|(part, length)| part.len() == *length && is_hex(part));
    let is_null = |part: &str| part.bytes().all(|b| b == b'0');
    (is_valid && version != "ff" && !is_null(trace) && !is_null(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_gives_is_taken_over_if_it_can_stand_in_a_header_and_a_line() {
        for good in ["a", "7f!\"}\\~", &"x".repeat(128)] {
            assert_eq!(RequestId::given(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(129)] {
            assert_eq!(RequestId::given(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_trace_is_read_as_the_standard_says() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let header = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&header), Some(trace));
        assert_eq!(trace_id(&header.replacen("00-", "cc-", 1)), Some(trace));
        assert_eq!(trace_id(&format!("{header}-more")), Some(trace));
        for bad in [
            "",
            "00",
            trace,
            &header.to_uppercase(),
            &header.replacen("00-", "ff-", 1),
            &header.replace(trace, &"0".repeat(32)),
            &header.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &header[..54],
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
