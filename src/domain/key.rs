//! Keys, the credentials of servers.

mod text;

use std::{fmt, time::Duration};

use chrono::NaiveDate;
use rand::Rng as _;

pub use self::text::KeyText;
use super::{AppId, Invalid, Timestamp};

/// The longest name of a key, in characters.
pub const MAX_NAME_CHARS: usize = 255;

/// Time for which an expired key is still known as expired. Afterwards it is unknown, and no longer counts as a key.
pub const EXPIRED_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// ID of a key: 12 characters of `0-9a-z`. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; Self::CHARS]);

impl KeyId {
    /// Number of characters.
    pub const CHARS: usize = 12;

    /// Makes a random ID.
    pub fn generate() -> Self {
        const BASE_36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut rng = rand::rng();
        Self([(); Self::CHARS].map(|()| BASE_36[rng.random_range(0..36)]))
    }

    /// Parses exactly 12 characters of `0-9a-z`; any other text is no key's ID.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::CHARS] = text.as_bytes().try_into().ok()?;
        let valid = bytes
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'));
        valid.then_some(Self(bytes))
    }

    /// The ID at this place of a key's text, which was checked.
    fn at(text: &str, start: usize) -> Self {
        let mut id = [0; Self::CHARS];
        if let Some(bytes) = text.as_bytes().get(start..start + Self::CHARS) {
            id.copy_from_slice(bytes);
        }
        Self(id)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // All bytes are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Valid name of a key: at most [`MAX_NAME_CHARS`] characters, no U+0000; it may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        if text.contains('\0') {
            return Err(Invalid::Nul("name"));
        }
        if text.chars().count() > MAX_NAME_CHARS {
            return Err(Invalid::TooLong {
                field: "name",
                limit: MAX_NAME_CHARS,
            });
        }
        Ok(Self(text))
    }

    /// The checked text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// A key as it is read back, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Public ID.
    pub id: KeyId,
    /// The application whose key it is; `None` for an installation key.
    pub app: Option<AppId>,
    /// Name given by its creator, possibly empty.
    pub name: String,
    /// Tells whether it can only read.
    pub read_only: bool,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Time from which it is no longer accepted; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Day (UTC) on which it was last used, as far as processes have reported it.
    pub last_used: Option<NaiveDate>,
}

impl Key {
    /// Tells whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twelve_lower_case_characters_are_an_id() {
        let id = KeyId::generate();
        assert_eq!(KeyId::parse(id.as_str()), Some(id));
        assert_eq!(
            KeyId::parse("0a1b2c3d4e5f").unwrap().to_string(),
            "0a1b2c3d4e5f"
        );
        for wrong in [
            "",
            "0a1b2c3d4e5",
            "0a1b2c3d4e5fg",
            "0A1b2c3d4e5f",
            "0a1b2c3d4e5é",
            "0a1b2c3d4e-f",
        ] {
            assert_eq!(KeyId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_may_be_empty_and_has_a_limit() {
        for good in ["", "backend", &"é".repeat(255)] {
            assert!(KeyName::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["a\0", &"é".repeat(256)] {
            assert!(KeyName::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
