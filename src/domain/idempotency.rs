//! Idempotency keys of creations.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{AppId, ChatKey, MessageContent};

/// Idempotency key of a creation, and its body. Neither the key's text nor the body is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Hash of the application, the chat of a message, the user, and the key's text. Creations with the same ID create one
    /// thing.
    pub id: Hash,
    /// Hash of the body.
    pub body: Hash,
}

impl IdempotencyKey {
    /// Key of the creation of a chat in an application. It has no body.
    pub fn of_chat(app: AppId, user: Option<&str>, key: &str) -> Self {
        let id = Hash::of([Some(app.to_string().as_str()), None, user, Some(key)]);
        let body = Hash::of([]);
        Self { id, body }
    }

    /// Key of the creation of a message by this sender. Bodies are the same if text, sender and data are equal as JSON
    /// values.
    pub fn of_message(
        ChatKey { app, number }: ChatKey,
        user: Option<&str>,
        key: &str,
        MessageContent { text, data }: &MessageContent,
        sender: Option<&str>,
    ) -> Self {
        let data = data.as_ref().map(|data| canonical(data.as_str()));
        let (app, chat) = (app.to_string(), number.to_string());
        let id = Hash::of([Some(app.as_str()), Some(&chat), user, Some(key)]);
        let body = Hash::of([Some(text.as_str()), sender, data.as_deref()]);
        Self { id, body }
    }
}

/// JSON in which members are sorted and equal numbers have the same digits.
fn canonical(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(value) => {
            let mut text = String::new();
            write_canonical(&value, &mut text);
            text
        }
        // Nested too deeply to be parsed: only the same text is the same value.
        Err(_) => json.to_owned(),
    }
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => text.push_str(&canonical_number(number)),
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|member| member.0);
            text.push('{');
            for (key, value) in members {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

/// A number as digits. Numbers beyond 64 bits are compared as doubles (RFC 8259, section 6).
fn canonical_number(number: &serde_json::Number) -> String {
    /// Doubles below this are exact integers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < EXACT => {
            format!("{}", double as i64)
        }
        _ => number.to_string(),
    }
}

/// The first half of a SHA-256 hash, written as 32 hexadecimal digits. Every keyed message keeps two hashes. Finding
/// two inputs with the same half takes about 2 to the power of 64 attempts. A client that has them can only confuse its own
/// creations, because the application and the user are parts of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; Hash::BYTES]);

impl Hash {
    /// Number of bytes.
    pub const BYTES: usize = 16;

    /// Hashes a sequence of parts, so that no two different sequences have the same input.
    pub fn of<'a>(parts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            match part {
                Some(text) => {
                    hasher.update([1]);
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text);
                }
                None => hasher.update([0]),
            }
        }
        let mut hash = [0; Self::BYTES];
        hash.copy_from_slice(&hasher.finalize()[..Self::BYTES]);
        Self(hash)
    }

    /// Parses 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hash = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        hash.try_into().ok().map(Self)
    }

    /// Writes 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::MessageText;

    #[test]
    fn bodies_are_compared_as_json_values() {
        let same = [
            [
                r#"{"a":1,"b":[2,{"c":null}]}"#,
                r#"{"b":[2.0,{"c":null}],"a":1e0}"#,
            ],
            [r#"{"a":-0.0}"#, r#"{"a":0}"#],
            [r#"{"\u0061":"\u00e9"}"#, r#"{"a":"é"}"#],
            [
                r#"{"a":18446744073709551615}"#,
                r#"{"a":18446744073709551615}"#,
            ],
        ];
        for [one, other] in same {
            assert_eq!(canonical(one), canonical(other));
        }
        let different = [
            [r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#],
            [r#"{"a":[[1],2]}"#, r#"{"a":[[1,2]]}"#],
            [r#"{"a":"1"}"#, r#"{"a":1}"#],
            [r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#],
            [r#"{"a":null}"#, r#"{}"#],
        ];
        for [one, other] in different {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn key_belongs_to_its_application_chat_and_user() {
        let [app, other] = ["0000000a", "0000000b"].map(|id| AppId::parse(id).unwrap());
        let content = MessageContent {
            text: MessageText::parse("hello".to_owned()).unwrap(),
            data: None,
        };
        let of_message = |app, number, user, key| {
            IdempotencyKey::of_message(ChatKey { app, number }, user, key, &content, None).id
        };
        let ids = [
            of_message(app, 1, None, "1"),
            of_message(other, 1, None, "1"),
            of_message(app, 2, None, "1"),
            of_message(app, 1, Some("mona"), "1"),
            of_message(app, 1, None, "2"),
            IdempotencyKey::of_chat(app, None, "1").id,
            IdempotencyKey::of_chat(app, Some("1"), "1").id,
        ];
        assert_eq!(HashSet::from(ids).len(), ids.len());
    }

    #[test]
    fn hashes_are_read_back_and_distinguish_sequences() {
        let hash = Hash::of([Some("ab"), None]);
        assert_eq!(Hash::parse(&hash.to_hex()), Some(hash));
        assert_eq!(Hash::parse("ab"), None);
        assert_ne!(Hash::of([Some("a"), Some("b")]), Hash::of([Some("ab")]));
        assert_ne!(hash, Hash::of([Some("ab"), Some("")]));
    }
}
