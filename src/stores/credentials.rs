//! Keys and revocations, as the stores keep them.
//!
//! Every change takes a number from one counter row in the same transaction. The row's lock makes numbers visible in
//! their order, so a process that has seen a number misses no change up to it.

use std::{fmt, time::Duration};

use super::{Backend, Result};
use crate::domain::{AppId, Key, KeyId, KeyText, Timestamp};

/// Time limit of a read of all keys and revocations.
pub const RELOAD_TIME_LIMIT: Duration = Duration::from_secs(10);

/// Maximum number of revocations that [`Backend::prune_revocations`] deletes.
pub const PRUNED: usize = 1000;

/// A key with what it is recognized by.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// Hash of its text.
    pub hash: [u8; 32],
    /// Secret with which user tokens are signed, of an application key.
    pub signing_secret: Option<[u8; 32]>,
    /// Tells whether it was revoked.
    pub is_revoked: bool,
}

impl StoredKey {
    /// What is stored of a new key.
    pub fn new(key: Key, text: &KeyText) -> Self {
        Self {
            hash: text.hash(),
            signing_secret: key.app.map(|_| text.signing_secret()),
            key,
            is_revoked: false,
        }
    }

    /// Outcome of the creation of this key where a key with its ID exists, which has this hash.
    pub(super) fn compare(&self, hash: &[u8], is_revoked: bool) -> KeyCreation {
        match hash == self.hash {
            true => KeyCreation::Exists { is_revoked },
            false => KeyCreation::Taken,
        }
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revoked = if self.is_revoked { ", revoked" } else { "" };
        write!(f, "{:?}{revoked}", self.key)
    }
}

/// Revocation of a user's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRevocation {
    /// The application.
    pub app: AppId,
    /// The user.
    pub user: String,
    /// Tokens that were issued up to this second are revoked.
    pub issued_until: i64,
}

impl UserRevocation {
    /// Second up to which tokens are revoked, after an `earlier` revocation of the same user. The next token is signed with the
    /// second after that, which may lie ahead of the clock.
    pub(super) fn until(&self, earlier: Option<i64>) -> i64 {
        let next = earlier.map_or(i64::MIN, |earlier| earlier.saturating_add(1));
        self.issued_until.max(next)
    }
}

/// Changes of keys and revocations since a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialChanges {
    /// The number to continue from.
    pub number: u64,
    /// True if this is everything that is valid, and not only what changed.
    pub is_everything: bool,
    /// Keys, also revoked ones among the changes.
    pub keys: Vec<StoredKey>,
    /// Revocations of users.
    pub revocations: Vec<UserRevocation>,
}

impl CredentialChanges {
    /// Adds the `changes` that were read from the number of these on.
    #[must_use]
    pub fn followed_by(mut self, changes: Self) -> Self {
        if changes.is_everything {
            return changes;
        }
        self.number = changes.number;
        self.keys.extend(changes.keys);
        self.revocations.extend(changes.revocations);
        self
    }
}

/// Maximum numbers of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLimits {
    /// In all.
    pub total: usize,
    /// Of one application.
    pub per_application: usize,
}

/// Outcome of [`Backend::create_key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCreation {
    /// The key is stored.
    Created,
    /// The same key is stored already, possibly revoked.
    Exists {
        /// Tells whether it was revoked.
        is_revoked: bool,
    },
    /// Another key has this ID.
    Taken,
    /// This limit is reached.
    Full(usize),
}

/// Part of the list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPage {
    /// Only keys of this application.
    pub app: Option<AppId>,
    /// Only keys after this one.
    pub after: Option<KeyId>,
    /// Maximum number of keys.
    pub limit: usize,
}

/// A key is *known* until it is revoked, or has been expired for [`EXPIRED_KEPT`](crate::domain::key::EXPIRED_KEPT). Rows of
/// other keys are kept, so that no ID is used twice and a revoked first key stays revoked. `now` is the caller's time.
impl Backend {
    /// Reads the changes after `number`. Reads everything if `number` is `None` or unknown here, because the database was
    /// restored from a backup. Revocations of tokens that were issued before the second `kept_since` are left out.
    pub async fn credential_changes(
        &self,
        number: Option<u64>,
        now: Timestamp,
        kept_since: i64,
    ) -> Result<CredentialChanges> {
        dispatch!(self.credential_changes(number, now, kept_since), services: mysql.credential_changes)
    }

    /// Stores a key. Repeated calls with the same key change nothing.
    pub async fn create_key(&self, key: &StoredKey, limits: KeyLimits) -> Result<KeyCreation> {
        dispatch!(self.create_key(key, limits), services: mysql.create_key)
    }

    /// Lists known keys in the order of their creation.
    pub async fn keys(&self, page: KeyPage, now: Timestamp) -> Result<Vec<Key>> {
        dispatch!(self.keys(page, now), services: mysql.keys)
    }

    /// Sets the end of a known key and returns the key. `None` if there is no such key, or if it is of another application
    /// than `app`.
    pub async fn expire_key(
        &self,
        id: KeyId,
        app: Option<AppId>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Key>> {
        dispatch!(self.expire_key(id, app, expires_at, now), services: mysql.expire_key)
    }

    /// Revokes a key and erases its signing secret. False if there is no such key, if it was revoked, or if it is of
    /// another application than `app`.
    pub async fn revoke_key(&self, id: KeyId, app: Option<AppId>, now: Timestamp) -> Result<bool> {
        dispatch!(self.revoke_key(id, app, now), services: mysql.revoke_key)
    }

    /// Revokes the tokens of a user that were issued up to the second `issued_until`, and returns the second up to which
    /// they are revoked. It is above that of every earlier call, because tokens that were signed since are issued after that.
    /// `None` if the tokens of `limit` other users of the application were revoked since `kept_since`.
    pub async fn revoke_user(
        &self,
        revocation: &UserRevocation,
        limit: usize,
        kept_since: i64,
    ) -> Result<Option<i64>> {
        dispatch!(self.revoke_user(revocation, limit, kept_since), services: mysql.revoke_user)
    }

    /// Deletes up to [`PRUNED`] revocations of tokens that were issued before the second `kept_since`. Returns their number.
    pub async fn prune_revocations(&self, kept_since: i64) -> Result<usize> {
        dispatch!(self.prune_revocations(kept_since), services: mysql.prune_revocations)
    }

    /// Records that keys were used on the day of `now`.
    pub async fn record_key_uses(&self, keys: &[KeyId], now: Timestamp) -> Result<()> {
        dispatch!(self.record_key_uses(keys, now), services: mysql.record_key_uses)
    }
}
