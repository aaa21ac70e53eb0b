//! Callers: who sent a request, by its credential.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Auth, AuthError, CachedKey,
    token::{self, Chats, MAX_TOKEN_CHARS, Token},
    token_cache,
};
use crate::domain::{Actor, AppId, KeyText, Number};

/// Sender of a request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Anyone: no credential is looked at in open mode, or at a public route.
    Anyone,
    /// Server with a key.
    Key(Arc<CachedKey>),
    /// User with a token.
    User {
        /// The token, which is valid now.
        token: Arc<Token>,
        /// The key that signed it.
        key: Arc<CachedKey>,
    },
}

impl Caller {
    /// The user of a token.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User { token, .. } => Some(&token.user),
            Self::Anyone | Self::Key(_) => None,
        }
    }

    /// The key, also the one that signed a token.
    pub fn key(&self) -> Option<&CachedKey> {
        match self {
            Self::Anyone => None,
            Self::Key(key) | Self::User { key, .. } => Some(key),
        }
    }

    /// The application of a user or of an application key.
    pub fn app(&self) -> Option<AppId> {
        self.key()?.key.app
    }

    /// The only chats that the caller may see; `None` for all of them.
    pub fn granted_chats(&self) -> Option<&BTreeSet<Number>> {
        match self {
            Self::User { token, .. } => match &token.chats {
                Chats::All => None,
                Chats::Some(numbers) => Some(numbers),
            },
            Self::Anyone | Self::Key(_) => None,
        }
    }

    /// Name of the caller for the access log and jobs.
    pub fn actor(&self) -> Option<Actor> {
        let key = self.key()?.key.id;
        let user = self.user().map(Into::into);
        Some(Actor { key, user })
    }
}

impl Auth {
    /// Identifies the caller by a credential, a key or a token.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    pub async fn caller(self: &Arc<Self>, credential: &str) -> Result<Caller, AuthError> {
        match KeyText::id_in(credential) {
            Some(id) => Ok(Caller::Key(self.key(&id, credential).await?)),
            None => self.user(credential).await,
        }
    }

    /// Verifies a token. Its key, its times and revocations are checked at each use, the rest once.
    async fn user(self: &Arc<Self>, text: &str) -> Result<Caller, AuthError> {
        if text.len() > MAX_TOKEN_CHARS {
            return Err(AuthError::Invalid);
        }
        let hash = token_cache::hash(text);
        let token = match self.tokens.get(&hash) {
            Some(token) => {
                self.signing_key(&token.key).await?;
                token
            }
            None => {
                let id = token::key_id(text).ok_or(AuthError::Invalid)?;
                let key = self.signing_key(&id).await?;
                let secret = key.signing_secret().ok_or(AuthError::Invalid)?;
                let token = token::verify(text, id, secret).ok_or(AuthError::Invalid)?;
                let token = Arc::new(token);
                self.tokens.insert(hash, token.clone());
                token
            }
        };
        // Both from one state: a read of changes may have ended since the key was found.
        let (key, revoked) = {
            let cache = self.cache();
            let revoked = cache.issued_until(token.app, &token.user);
            (cache.key(&token.key).ok_or(AuthError::Invalid)?, revoked)
        };
        if key.key.app != Some(token.app) {
            return Err(AuthError::Invalid);
        }
        let now = self.now();
        token.check_times(now.timestamp_millis(), self.token_max_ttl(), revoked)?;
        if key.key.is_expired(now) {
            return Err(AuthError::Expired);
        }
        if revoked.is_some_and(|until| token.issued_at <= until) {
            return Err(AuthError::Invalid);
        }
        self.note_use(&key, now);
        Ok(Caller::User { token, key })
    }
}
