//! Applications, the clients of this service.

mod list;

use std::fmt;

pub use self::list::{ApplicationsListing, ApplicationsPage, ListedApplication, Position};
use super::{Invalid, Revision, Timestamp, error::check_text};

/// The longest username, in characters.
pub const MAX_USERNAME_CHARS: usize = 255;

/// The public name of an application: 8 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(pub u32);

impl AppId {
    /// A new id from the operating system's cryptographic random source. Whether it is taken is for the stores to say.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Parses exactly 8 lowercase hexadecimal digits; any other text is no application's ID.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !valid {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The username of an application whose creation was lost, and with it the one that was given.
pub const LOST_USERNAME: &str = "unknown";

/// Valid username: at least one visible character, at most [`MAX_USERNAME_CHARS`] characters, no U+0000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Checks a username.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        check_text("Username", &text, MAX_USERNAME_CHARS)?;
        Ok(Self(text))
    }

    /// The checked text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// An application as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Public name.
    pub id: AppId,
    /// Owner, as given by the client.
    pub username: String,
    /// The revision of its creation, or of its deletion.
    pub revision: Revision,
    /// Time at which its creation was accepted.
    pub created_at: Timestamp,
    /// Time at which its deletion was accepted; `None` if it exists. A deleted application has no username.
    pub deleted_at: Option<Timestamp>,
}
