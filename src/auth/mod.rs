//! Credentials: who is let in.
//!
//! A process holds all keys and revocations in memory, so an accepted request costs no call to a store. It reads what changed
//! twice a second, and before a request whose last read is older than a second.

mod access;
mod background;
mod cache;
mod caller;
mod first_key;
mod issue;
mod keys;
mod refresh;
mod signature;
pub mod token;
mod token_cache;
mod uptime;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::sync::watch;

pub use self::{
    access::{Access, Refusal},
    cache::CachedKey,
    caller::Caller,
    first_key::read_first_key,
    issue::{Issued, NewToken},
    keys::{Keys, NewKey},
};
use self::{cache::Cache, refresh::Attempt, token_cache::TokenCache};
use crate::{
    config,
    domain::{AppId, Key, KeyId, KeyText, Result, Timestamp},
    stores,
};
pub use crate::{config::AuthMode, stores::KeyPage};

/// Maximum number of keys that are listed: the highest value of `limits.keys_per_application`.
const MAX_LISTED: usize = 100_000;

/// Reason why a credential is refused.
#[derive(Debug, Error)]
pub enum AuthError {
    /// Unknown, malformed or revoked.
    #[error("the credential is not valid")]
    Invalid,
    /// Right, but its time is over.
    #[error("the credential has expired")]
    Expired,
    /// The database is unreachable, and this process does not know whether the credential was revoked.
    #[error("revocations are unknown: {0}")]
    Unavailable(#[from] stores::Error),
}

/// Credentials of one installation, as this process knows them.
pub struct Auth {
    settings: config::Auth,
    keys: Keys,
    cache: RwLock<Cache>,
    /// Start of the last successful read, in milliseconds of [`uptime`]; 0 before the first.
    read_at: AtomicU64,
    /// End of the last attempt to read, in milliseconds of [`uptime`], if it failed; otherwise 0.
    failed_at: AtomicU64,
    /// Held while the changes are read.
    reading: Arc<tokio::sync::Mutex<Option<Attempt>>>,
    /// Held while everything is read, but for the first time.
    reloading: tokio::sync::Mutex<()>,
    /// Tokens whose signature was verified.
    tokens: TokenCache,
    /// Installation key that is not stored yet.
    first_key: Mutex<Option<KeyText>>,
    /// Tells whether there was an attempt to store it.
    tried_first_key: AtomicBool,
    /// Keys that were used today for the first time, and not recorded in the store yet.
    used: Mutex<HashSet<KeyId>>,
    /// Counts the changes after which a credential that was accepted before may be refused.
    revocations: watch::Sender<u64>,
}

impl Auth {
    /// Credentials in the stores of `keys`. `first_key` is the key of `auth.first_key_file`.
    pub fn new(settings: &config::Auth, keys: Keys, first_key: Option<KeyText>) -> Self {
        Self {
            settings: settings.clone(),
            keys,
            cache: RwLock::default(),
            read_at: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            reading: Arc::default(),
            reloading: tokio::sync::Mutex::default(),
            tokens: TokenCache::new(settings.token_cache_bytes),
            first_key: Mutex::new(first_key),
            tried_first_key: AtomicBool::new(false),
            used: Mutex::default(),
            revocations: watch::Sender::new(0),
        }
    }

    /// Mode of access.
    pub fn mode(&self) -> AuthMode {
        self.settings.mode()
    }

    /// Maximum lifetime of a user token.
    pub fn token_max_ttl(&self) -> Duration {
        self.settings.token_max_ttl
    }

    /// Time of this process, by which credentials expire.
    pub fn now(&self) -> Timestamp {
        self.keys.now()
    }

    /// Checks the text of a key, which begins with this ID, and notes its use.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    async fn key(
        self: &Arc<Self>,
        id: &KeyId,
        text: &str,
    ) -> std::result::Result<Arc<CachedKey>, AuthError> {
        // The form of a known key needs no check, as its hash is compared. That of an unknown one saves the search for it.
        let is_key = || KeyText::parse(text).is_some();
        let key = self.find(id, is_key).await?;
        if !key.matches(text) {
            return Err(AuthError::Invalid);
        }
        let now = self.now();
        if key.key.is_expired(now) {
            return Err(AuthError::Expired);
        }
        self.note_use(&key, now);
        Ok(key)
    }

    /// The application key that has signed a user token, also if it has expired: the caller checks that after the signature,
    /// and then calls [`Self::note_use`].
    ///
    /// # Errors
    ///
    /// [`AuthError::Invalid`] if there is no such key, or if it is an installation key; [`AuthError::Unavailable`].
    pub async fn signing_key(
        self: &Arc<Self>,
        id: &KeyId,
    ) -> std::result::Result<Arc<CachedKey>, AuthError> {
        let key = self.find(id, || true).await?;
        match key.signing_secret() {
            Some(_) => Ok(key),
            None => Err(AuthError::Invalid),
        }
    }

    /// The second since 1970 up to which the issued tokens of a user are revoked; `None` if none are.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unavailable`].
    pub async fn issued_until(
        self: &Arc<Self>,
        app: AppId,
        user: &str,
    ) -> std::result::Result<Option<i64>, AuthError> {
        self.refresh_if_old().await?;
        Ok(self.cache().issued_until(app, user))
    }

    /// Notes that a key was used now, by its owner or by a token that it has signed.
    pub fn note_use(&self, key: &CachedKey, now: Timestamp) {
        if key.use_at(now) {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(key.key.id);
        }
    }

    /// Tells when a credential that was accepted before may be refused.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// Creates a key. Its text is returned only here.
    ///
    /// # Errors
    ///
    /// Same as [`Keys::create`].
    pub async fn create_key(self: &Arc<Self>, new: &NewKey) -> Result<(KeyText, Key)> {
        let text = KeyText::generate();
        let key = self.keys.create(&text, new).await?;
        self.refresh_after_change().await;
        Ok((text, key))
    }

    /// Lists the keys of an application that are not revoked, in the order of their creation.
    pub async fn keys(&self, app: AppId) -> Result<Vec<Key>> {
        let page = KeyPage {
            app: Some(app),
            after: None,
            limit: MAX_LISTED,
        };
        Ok(self.keys.list(page).await?)
    }

    /// Sets the end of an application's key.
    ///
    /// # Errors
    ///
    /// Same as [`Keys::expire`].
    pub async fn expire_key(
        self: &Arc<Self>,
        app: AppId,
        id: KeyId,
        expires_at: Option<Timestamp>,
    ) -> Result<Key> {
        let key = self.keys.expire(id, Some(app), expires_at).await?;
        self.refresh_after_change().await;
        Ok(key)
    }

    /// Revokes an application's key.
    ///
    /// # Errors
    ///
    /// Same as [`Keys::revoke`].
    pub async fn revoke_key(self: &Arc<Self>, app: AppId, id: KeyId) -> Result<()> {
        self.keys.revoke(id, Some(app)).await?;
        self.refresh_after_change().await;
        Ok(())
    }

    /// Revokes all tokens of a user that were issued until now. Returns the second since 1970 up to which they are.
    ///
    /// # Errors
    ///
    /// Same as [`Keys::revoke_user`].
    pub async fn revoke_user(self: &Arc<Self>, app: AppId, user: &str) -> Result<i64> {
        let issued_until = self.keys.revoke_user(app, user).await?;
        self.refresh_after_change().await;
        Ok(issued_until)
    }

    /// Finds a key that is not revoked. One that this process does not know is looked for if `may_exist`.
    async fn find(
        self: &Arc<Self>,
        id: &KeyId,
        may_exist: impl FnOnce() -> bool,
    ) -> std::result::Result<Arc<CachedKey>, AuthError> {
        self.refresh_if_old().await?;
        if let Some(key) = self.cache().key(id) {
            return Ok(key);
        }
        if !may_exist() {
            return Err(AuthError::Invalid);
        }
        // It may have been created since.
        self.refresh(uptime::now()).await?;
        self.cache().key(id).ok_or(AuthError::Invalid)
    }

    fn cache(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_at(&self) -> Option<Duration> {
        let millis = self.read_at.load(Ordering::Acquire);
        (millis > 0).then(|| Duration::from_millis(millis))
    }
}
