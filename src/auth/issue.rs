//! Issuing of user tokens.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Auth, AuthError, CachedKey,
    token::{self, Action, Chats, MAX_TOKEN_CHARS, Token},
    uptime,
};
use crate::domain::{Invalid, Timestamp, time::from_millis};

/// A token to issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The user.
    pub user: String,
    /// Chats that it grants.
    pub chats: Chats,
    /// Actions that it grants.
    pub can: BTreeSet<Action>,
    /// Lifetime in seconds.
    pub expires_in: u64,
}

/// A token that was issued.
pub struct Issued {
    /// The token, which is a secret.
    pub text: String,
    /// Its end.
    pub expires_at: Timestamp,
    /// Its lifetime in seconds.
    pub expires_in: u64,
}

impl Auth {
    /// Signs a token with an application key. The token ends with the key, if that is earlier. Its `iat` is after the last
    /// revocation of the user's tokens in any process.
    ///
    /// # Errors
    ///
    /// [`AuthError::Invalid`] for an installation key. [`AuthError::Unavailable`] if revocations could not be read for too
    /// long. In the result, [`Invalid::TokenTooLong`].
    pub async fn issue(
        self: &Arc<Self>,
        key: &CachedKey,
        new: NewToken,
    ) -> Result<Result<Issued, Invalid>, AuthError> {
        let (Some(app), Some(secret)) = (key.key.app, key.signing_secret()) else {
            return Err(AuthError::Invalid);
        };
        // While the database is unreachable nobody can revoke, so what is known is complete.
        let _outage = self.refresh(uptime::now()).await;
        let revoked = self.issued_until(app, &new.user).await?;
        let now = self.now().timestamp();
        let issued_at = revoked.map_or(now, |until| now.max(until.saturating_add(1)));
        let lifetime = i64::try_from(new.expires_in).unwrap_or(i64::MAX);
        let key_end = key.key.expires_at.map_or(i64::MAX, |end| end.timestamp());
        let expires_at = issued_at.saturating_add(lifetime).min(key_end);
        let expires_at = expires_at.max(issued_at);
        let token = Token::new(
            key.key.id,
            app,
            &new.user,
            (new.chats, new.can),
            (issued_at, expires_at),
        );
        let signed = token::sign(&token, secret).ok_or(Invalid::TokenTooLong(MAX_TOKEN_CHARS));
        Ok(signed.map(|text| Issued {
            text,
            expires_at: from_millis(expires_at.saturating_mul(1000)),
            expires_in: expires_at.abs_diff(issued_at),
        }))
    }
}
