//! User tokens: JSON Web Tokens that the owner of an application key signs for a user.
//!
//! These functions see one token and one key. [`Auth`](super::Auth) finds the key and the revocations.

mod claims;

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use serde::{Deserialize, Serialize};

use self::claims::Claims;
use super::{AuthError, signature};
use crate::domain::{AppId, Number, key::KeyId, number::MAX_NUMBER};

/// Maximum length of a token in characters.
pub const MAX_TOKEN_CHARS: usize = 7000;

/// Maximum number of chats in a token.
pub const MAX_CHATS: usize = 1000;

/// Maximum length of a user's name in characters.
pub const MAX_USER_CHARS: usize = 255;

/// Difference of clocks in milliseconds that `iat` and `nbf` allow for. `exp` allows for none.
const LEEWAY_MS: i64 = 5000;

/// What a caller may do in an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Read what is there.
    Read,
    /// Write and change messages.
    Write,
    /// Create chats.
    CreateChat,
}

/// Chats that a token grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chats {
    /// Every chat of the application, those of the future included.
    All,
    /// These, at most [`MAX_CHATS`].
    Some(BTreeSet<Number>),
}

impl Chats {
    /// The chats of these numbers; `None` for too many, and for a number that no chat can have.
    pub fn some(numbers: &[Number]) -> Option<Self> {
        let valid = numbers
            .iter()
            .all(|number| (1..=MAX_NUMBER).contains(number));
        (valid && numbers.len() <= MAX_CHATS).then(|| Self::Some(numbers.iter().copied().collect()))
    }

    /// Tells whether a chat is granted.
    pub fn contains(&self, chat: Number) -> bool {
        match self {
            Self::All => true,
            Self::Some(numbers) => numbers.contains(&chat),
        }
    }
}

/// Token with a valid signature and well-formed claims. Its times are checked at each use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// ID of the key that signed it.
    pub key: KeyId,
    /// The application.
    pub app: AppId,
    /// The user, 1–255 characters.
    pub user: Box<str>,
    /// Chats that it grants.
    pub chats: Chats,
    /// Actions that it grants.
    pub can: BTreeSet<Action>,
    /// Time of issue, in seconds since 1970.
    pub issued_at: i64,
    /// End, in seconds since 1970.
    pub expires_at: i64,
    /// Start, in seconds since 1970.
    not_before: Option<i64>,
}

/// Checks of the algorithm and the signature only. [`Claims`] and [`Token::check_times`] check the rest.
static VALIDATION: LazyLock<Validation> = LazyLock::new(|| {
    let mut validation = Validation::new(Algorithm::HS256);
    // The crate's leeway is the same for all times, and it reads fractions of seconds: see `Token::check_times`.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    // The claim `app` takes its place.
    validation.validate_aud = false;
    validation
});

/// ID of the key that a token says it was signed with; `None` if the text is no token.
pub fn key_id(text: &str) -> Option<KeyId> {
    // Checked before anything is parsed.
    if text.len() > MAX_TOKEN_CHARS {
        return None;
    }
    let header = decode_header(text).ok()?;
    let is_jwt = |typ: &String| typ.eq_ignore_ascii_case("JWT");
    let is_plain = header.alg == Algorithm::HS256
        && header.typ.as_ref().is_none_or(is_jwt)
        // Extensions that must be understood; there are none.
        && header.crit.is_none();
    KeyId::parse(&header.kid?).filter(|_| is_plain)
}

/// Verifies a token with the signing secret of the key `key`, which [`key_id`] named. Returns `None` if the signature or a
/// claim is not valid.
pub fn verify(text: &str, key: KeyId, secret: &[u8; 32]) -> Option<Token> {
    signature::install();
    if text.len() > MAX_TOKEN_CHARS {
        return None;
    }
    let secret = DecodingKey::from_secret(secret);
    let claims = decode::<Claims>(text, &secret, &VALIDATION).ok()?.claims;
    claims.into_token(key)
}

/// Signs a token; `None` if it would be longer than [`MAX_TOKEN_CHARS`].
pub fn sign(token: &Token, secret: &[u8; 32]) -> Option<String> {
    signature::install();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(token.key.to_string());
    let secret = EncodingKey::from_secret(secret);
    // Structs of texts and numbers always serialise.
    let text = encode(&header, &Claims::from(token), &secret).ok()?;
    (text.len() <= MAX_TOKEN_CHARS).then_some(text)
}

impl Token {
    /// A token from now on, to be signed.
    pub fn new(
        key: KeyId,
        app: AppId,
        user: &str,
        (chats, can): (Chats, BTreeSet<Action>),
        (issued_at, expires_at): (i64, i64),
    ) -> Self {
        Self {
            key,
            app,
            user: user.into(),
            chats,
            can,
            issued_at,
            expires_at,
            not_before: None,
        }
    }

    /// Checks the times, but not whether the token was revoked. `now` is in milliseconds since 1970. `revoked_until` is the second
    /// up to which the user's tokens are revoked: the second after it counts as reached, because repeated revocations move it
    /// ahead of the clock.
    ///
    /// # Errors
    ///
    /// [`AuthError::Invalid`] for a token that lasts longer than `max_ttl` or is not valid yet; then
    /// [`AuthError::Expired`].
    pub fn check_times(
        &self,
        now: i64,
        max_ttl: Duration,
        revoked_until: Option<i64>,
    ) -> Result<(), AuthError> {
        let starts = |second: i64| second.saturating_mul(1000) <= now.saturating_add(LEEWAY_MS);
        let ttl = u64::try_from(self.expires_at.saturating_sub(self.issued_at));
        let is_next =
            revoked_until.is_some_and(|until| until.checked_add(1) == Some(self.issued_at));
        if !ttl.is_ok_and(|ttl| ttl <= max_ttl.as_secs())
            || !(is_next || starts(self.issued_at))
            || !self.not_before.is_none_or(starts)
        {
            return Err(AuthError::Invalid);
        }
        if now >= self.expires_at.saturating_mul(1000) {
            return Err(AuthError::Expired);
        }
        Ok(())
    }

    /// Size in memory, in bytes.
    pub fn size(&self) -> usize {
        /// Of a number in a set, with its share of the nodes.
        const NUMBER: usize = 16;
        let chats = match &self.chats {
            Chats::All => 0,
            Chats::Some(numbers) => numbers.len() * NUMBER,
        };
        size_of::<Self>() + self.user.len() + chats + self.can.len() * NUMBER
    }
}

#[cfg(test)]
mod tests;
