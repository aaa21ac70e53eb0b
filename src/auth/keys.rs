//! Management of keys and revocations, for the API and for operators.

use crate::{
    config::{Limits, MAX_TOKEN_TTL_S},
    domain::{
        AppId, Entity, Error, Invalid, Key, KeyId, KeyName, KeyText, Result, Timestamp,
        time::{Clock, from_millis},
    },
    stores::{self, Backend, KeyCreation, KeyLimits, KeyPage, StoredKey, UserRevocation},
};

/// Time in seconds for which revocations are kept beyond the end of the last token that they can refuse, because clocks
/// differ.
const CLOCK_SKEW_S: i64 = 3600;

/// A key to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The application whose key it is; `None` for an installation key.
    pub app: Option<AppId>,
    /// Name for people.
    pub name: KeyName,
    /// Tells whether it can only read.
    pub read_only: bool,
    /// Time from which it is no longer accepted; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Keys and revocations of one installation, in the store. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    backend: Backend,
    clock: Clock,
    limits: KeyLimits,
    user_revocations: usize,
}

impl Keys {
    /// Keys in these stores.
    pub fn new(backend: Backend, limits: &Limits, clock: Clock) -> Self {
        Self {
            backend,
            clock,
            limits: KeyLimits {
                total: limits.keys,
                per_application: limits.keys_per_application,
            },
            user_revocations: limits.user_revocations,
        }
    }

    /// Time of this process, in whole milliseconds.
    pub fn now(&self) -> Timestamp {
        from_millis(self.clock.now())
    }

    /// The stores.
    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Stores a new key with this text. A repeated call changes nothing.
    ///
    /// # Errors
    ///
    /// An unknown application; a limit of the number of keys.
    pub async fn create(&self, text: &KeyText, new: &NewKey) -> Result<Key> {
        if let Some(app) = new.app {
            let found = self.backend.application(app).await?.value;
            found.ok_or(Error::NotFound(Entity::Application))?;
        }
        let key = Key {
            id: text.id(),
            app: new.app,
            name: new.name.clone().into_string(),
            read_only: new.read_only,
            created_at: self.now(),
            expires_at: new.expires_at.map(storable),
            last_used: None,
        };
        let stored = StoredKey::new(key.clone(), text);
        match self.store(&stored).await? {
            KeyCreation::Created | KeyCreation::Exists { .. } => Ok(key),
            KeyCreation::Full(limit) => Err(Invalid::TooManyKeys(limit).into()),
            KeyCreation::Taken => Err(Error::Internal {
                detail: format!("the random ID {} belongs to another key", key.id),
            }),
        }
    }

    /// Stores a key, whatever its name.
    pub(super) async fn store(&self, key: &StoredKey) -> stores::Result<KeyCreation> {
        self.backend.create_key(key, self.limits).await
    }

    /// Lists keys that are not revoked, in the order of their creation.
    pub async fn list(&self, page: KeyPage) -> stores::Result<Vec<Key>> {
        self.backend.keys(page, self.now()).await
    }

    /// Sets the end of a key, of this application if one is given.
    ///
    /// # Errors
    ///
    /// [`Error::KeyNotFound`].
    pub async fn expire(
        &self,
        id: KeyId,
        app: Option<AppId>,
        expires_at: Option<Timestamp>,
    ) -> Result<Key> {
        let expires_at = expires_at.map(storable);
        let expired = self.backend.expire_key(id, app, expires_at, self.now());
        expired.await?.ok_or(Error::KeyNotFound)
    }

    /// Revokes a key, of this application if one is given.
    ///
    /// # Errors
    ///
    /// [`Error::KeyNotFound`], also if it was revoked before.
    pub async fn revoke(&self, id: KeyId, app: Option<AppId>) -> Result<()> {
        match self.backend.revoke_key(id, app, self.now()).await? {
            true => Ok(()),
            false => Err(Error::KeyNotFound),
        }
    }

    /// Revokes all tokens of a user that were issued until now. Returns the second since 1970 up to which they are.
    ///
    /// # Errors
    ///
    /// [`Invalid::TooManyRevocations`] beyond `limits.user_revocations`.
    pub async fn revoke_user(&self, app: AppId, user: &str) -> Result<i64> {
        let revocation = UserRevocation {
            app,
            user: user.to_owned(),
            issued_until: self.now().timestamp(),
        };
        let limit = self.user_revocations;
        let revoked = self
            .backend
            .revoke_user(&revocation, limit, self.kept_since());
        let issued_until = revoked.await?;
        issued_until.ok_or_else(|| Invalid::TooManyRevocations(limit).into())
    }

    /// Second since 1970. Tokens that were issued before have ended, whatever `auth.token_max_ttl_s` is set to, so their
    /// revocations are not needed.
    pub(super) fn kept_since(&self) -> i64 {
        self.now().timestamp() - MAX_TOKEN_TTL_S - CLOCK_SKEW_S
    }
}

/// Both databases store times from 1970 on.
fn storable(time: Timestamp) -> Timestamp {
    from_millis(time.timestamp_millis().max(0))
}
