//! Idempotency keys of creations.

use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{AppId, MessageContent, Number, job::Target};

/// Idempotency key of a creation, and its body. Neither the key's text nor the body is kept.
///
/// The key belongs to the application and chat of the creation's target, and to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Hash of the user and the key's text.
    pub id: Hash,
    /// Hash of the body.
    pub body: Hash,
}

/// Idempotency key with its application and chat. Creations with the same one create one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyOfCreation {
    /// The application.
    pub app: AppId,
    /// The chat of a message; 0 for a chat.
    pub chat: Number,
    /// Hash of the user and the key's text.
    pub id: Hash,
}

/// `application:chat:id`.
impl fmt::Display for KeyOfCreation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.app, self.chat, self.id.to_hex())
    }
}

impl IdempotencyKey {
    /// Key of the creation of a chat, which has no body.
    pub fn of_chat(user: Option<&str>, key: &str) -> Self {
        Self::new(user, key, [])
    }

    /// Key of the creation of a message by this sender. Bodies are the same if text, sender and data are equal as JSON
    /// values.
    pub fn of_message(
        user: Option<&str>,
        key: &str,
        MessageContent { text, data }: &MessageContent,
        sender: Option<&str>,
    ) -> Self {
        let data = data.as_ref().map(|data| canonical(data.as_str()));
        Self::new(user, key, [Some(text.as_str()), sender, data.as_deref()])
    }

    /// The key within the application and chat of the creation's target.
    pub fn within(&self, Target { app, chat, .. }: Target) -> KeyOfCreation {
        let id = self.id;
        KeyOfCreation { app, chat, id }
    }

    fn new<const N: usize>(user: Option<&str>, key: &str, body: [Option<&str>; N]) -> Self {
        let id = Hash::of([user, Some(key)]);
        let body = Hash::of(body);
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
/// creations, because the user is a part of the input.
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
    use super::*;

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
    fn hashes_are_read_back_and_distinguish_sequences() {
        let hash = Hash::of([Some("ab"), None]);
        assert_eq!(Hash::parse(&hash.to_hex()), Some(hash));
        assert_eq!(Hash::parse("ab"), None);
        assert_ne!(Hash::of([Some("a"), Some("b")]), Hash::of([Some("ab")]));
        assert_ne!(hash, Hash::of([Some("ab"), Some("")]));
    }
}
