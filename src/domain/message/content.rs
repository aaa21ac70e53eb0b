//! Parts of a message that its author chooses: text, sender and data.

use serde_json::value::RawValue;

use crate::domain::{Invalid, error::check_text};

/// The longest message, in characters: at 4 bytes each it still fits MySQL's `TEXT` (65,535 bytes).
pub const MAX_MESSAGE_CHARS: usize = 16_000;

/// The longest sender, in characters: that of the column.
pub const MAX_SENDER_CHARS: usize = 255;

/// Maximum size of data in bytes, as compact JSON.
pub const MAX_DATA_BYTES: usize = 4096;

/// Valid text: at least one visible character, at most [`MAX_MESSAGE_CHARS`] characters, no U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

impl MessageText {
    /// Checks a text.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        check_text("Message", &text, MAX_MESSAGE_CHARS)?;
        Ok(Self(text))
    }

    /// The checked text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Valid sender of a message: 1 to [`MAX_SENDER_CHARS`] characters, visible or not, without U+0000. It is the ID of a
/// user in the caller's system, so Confab compares it byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender(String);

impl Sender {
    /// Name in errors.
    const FIELD: &str = "Sender";

    /// Checks a sender.
    pub fn parse(sender: String) -> Result<Self, Invalid> {
        if sender.is_empty() {
            return Err(Invalid::Empty(Self::FIELD));
        }
        if sender.contains('\0') {
            return Err(Invalid::Nul(Self::FIELD));
        }
        if sender.chars().count() > MAX_SENDER_CHARS {
            return Err(Invalid::TooLong {
                field: Self::FIELD,
                limit: MAX_SENDER_CHARS,
            });
        }
        Ok(Self(sender))
    }

    /// The checked sender.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Data of a message: a JSON object of at most [`MAX_DATA_BYTES`] bytes as compact JSON in UTF-8.
///
/// It is kept as its text: members keep their order, numbers their digits, and a member that is given twice is kept
/// twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageData(String);

impl MessageData {
    /// Name in errors.
    const FIELD: &str = "Data";

    /// Checks JSON, which must be well-formed, and makes it compact: without white space between its tokens, and
    /// with escapes only where JSON needs them.
    pub fn parse(json: &RawValue) -> Result<Self, Invalid> {
        let mut rest = json.get();
        if !rest.starts_with('{') {
            return Err(Invalid::NotAnObjectMember(Self::FIELD));
        }
        let mut compact = String::with_capacity(rest.len().min(MAX_DATA_BYTES));
        while let Some(next) = rest.bytes().next() {
            let token = match next {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
                    continue;
                }
                b'"' => string_length(rest),
                _ => rest
                    .find(['"', ' ', '\t', '\r', '\n'])
                    .unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(token);
            compact.push_str(&unescaped(token)?);
            rest = after;
            if compact.len() > MAX_DATA_BYTES {
                return Err(Invalid::TooLarge {
                    field: Self::FIELD,
                    limit: MAX_DATA_BYTES,
                });
            }
        }
        Ok(Self(compact))
    }

    /// The compact JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Length in bytes of the JSON string at the beginning of a text, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Rewrites a JSON string with the fewest escapes. Other tokens have none.
fn unescaped(token: &str) -> Result<String, Invalid> {
    if !token.contains('\\') {
        return Ok(token.to_owned());
    }
    // The grammar was checked before, so only an unpaired surrogate is left.
    let surrogate = |_| Invalid::Surrogate(MessageData::FIELD);
    let text: String = serde_json::from_str(token).map_err(surrogate)?;
    serde_json::to_string(&text).map_err(surrogate)
}

/// Content of a message, which an update replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageContent {
    /// The text.
    pub text: MessageText,
    /// The data, if any.
    pub data: Option<MessageData>,
}

/// A message to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Text and data.
    pub content: MessageContent,
    /// The sender that its creator states, if any.
    pub sender: Option<Sender>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<String, Invalid> {
        let json: &RawValue = serde_json::from_str(json).expect("well-formed");
        MessageData::parse(json).map(|data| data.as_str().to_owned())
    }

    #[test]
    fn data_is_compacted_and_keeps_order_digits_and_repeated_members() {
        for (given, kept) in [
            ("{}", "{}"),
            (
                " { \"b\" : 1 ,\r\n\t\"a\" : [ 1 , { } ] } ",
                "{\"b\":1,\"a\":[1,{}]}",
            ),
            (
                r#"{"n": [1.0, 1e5, 1E+5, -0, 0.10, 1e-400]}"#,
                r#"{"n":[1.0,1e5,1E+5,-0,0.10,1e-400]}"#,
            ),
            (r#"{"a": 1, "a": 2}"#, r#"{"a":1,"a":2}"#),
            (r#"{"\u0000": "\u0000"}"#, r#"{"\u0000":"\u0000"}"#),
            (
                r#"{"a b": " x ", "t": true, "n": null}"#,
                r#"{"a b":" x ","t":true,"n":null}"#,
            ),
            (
                r#"{"\u0061": "\u00e9\ud83d\ude00\/\u0007\u000a"}"#,
                "{\"a\":\"é😀/\\u0007\\n\"}",
            ),
            (
                r#"{"q": "\\\" : ", "r" : "\\"}"#,
                r#"{"q":"\\\" : ","r":"\\"}"#,
            ),
        ] {
            assert_eq!(parse(given).as_deref(), Ok(kept), "{given}");
        }
        let digits = format!("{{\"n\":{}}}", "1234567890".repeat(40));
        assert_eq!(parse(&digits), Ok(digits));
    }

    #[test]
    fn data_that_is_no_object_too_large_or_unstorable_is_refused() {
        for given in ["[]", "1", "\"{}\"", "true"] {
            assert_eq!(
                parse(given),
                Err(Invalid::NotAnObjectMember("Data")),
                "{given}"
            );
        }
        assert_eq!(parse(r#"{"a":"\ud800"}"#), Err(Invalid::Surrogate("Data")));
        let data = |length: usize| format!("{{ \"a\" : \"{}\" }}", "x".repeat(length - 8));
        assert_eq!(parse(&data(4096)).map(|data| data.len()), Ok(4096));
        let too_large = Invalid::TooLarge {
            field: "Data",
            limit: 4096,
        };
        assert_eq!(parse(&data(4097)), Err(too_large.clone()));
        // Escapes count as what they stand for.
        let escaped = |count| format!("{{\"a\":\"{}\"}}", "\\u00e9".repeat(count));
        assert_eq!(parse(&escaped(2044)).map(|data| data.len()), Ok(4096));
        assert_eq!(parse(&escaped(2045)), Err(too_large));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
        assert_eq!(parse(&deep), Ok(deep));
    }

    #[test]
    fn senders_have_1_to_255_characters() {
        let parse = |text: &str| Sender::parse(text.to_owned()).map(|sender| sender.0);
        for valid in ["a", " ", "\u{200b}", &"😀".repeat(255)] {
            assert_eq!(parse(valid).as_deref(), Ok(valid));
        }
        assert_eq!(parse(""), Err(Invalid::Empty("Sender")));
        assert_eq!(parse("a\0"), Err(Invalid::Nul("Sender")));
        assert!(matches!(
            parse(&"a".repeat(256)),
            Err(Invalid::TooLong { .. })
        ));
    }
}
