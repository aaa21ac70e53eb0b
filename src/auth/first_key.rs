//! The key of `auth.first_key_file`.

use std::{
    fs,
    path::Path,
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Auth;
use crate::{
    domain::{Key, KeyText},
    stores::{KeyCreation, Result, StoredKey},
};

/// Interval of the attempts to store the key while they fail.
const RETRY: Duration = Duration::from_secs(1);

/// Reads the key; `None` if no file is set.
///
/// # Errors
///
/// A file that cannot be read, or that holds anything else than one key. The text of the file is not shown.
pub fn read_first_key(path: &Path) -> anyhow::Result<Option<KeyText>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let name = format!("auth.first_key_file ({})", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
    match KeyText::parse(text.trim()) {
        Some(key) => Ok(Some(key)),
        None => bail!(
            "{name}: must hold one key and nothing else; `confab keys generate` prints a new one"
        ),
    }
}

impl Auth {
    /// Tries to store the key before the first read, so that it is accepted from the start. A failure delays no later read.
    pub(super) async fn store_first_key_at_start(&self) {
        if !self.tried_first_key.swap(true, Ordering::AcqRel) {
            self.store_first_key_or_warn(false).await;
        }
    }

    /// Tries to store the key until it is stored or the process ends.
    pub(super) async fn store_first_key_in_time(self: Arc<Self>, stop: CancellationToken) {
        let mut is_outage = false;
        while self.first_key().is_some() {
            if stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
                return;
            }
            // Not before the first read, which tries it itself.
            if self.tried_first_key.load(Ordering::Acquire) {
                is_outage = self.store_first_key_or_warn(is_outage).await;
            }
        }
    }

    /// True if it failed.
    async fn store_first_key_or_warn(&self, is_outage: bool) -> bool {
        let stored = self.store_first_key().await;
        if let Err(error) = &stored
            && !is_outage
        {
            warn!(%error, retry = ?RETRY, "Failed to store the key of auth.first_key_file; it is not accepted until it is stored");
        }
        stored.is_err()
    }

    fn first_key(&self) -> MutexGuard<'_, Option<KeyText>> {
        self.first_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the key of `auth.first_key_file`, once.
    ///
    /// # Errors
    ///
    /// The database cannot be read or written. Another call tries again.
    async fn store_first_key(&self) -> Result<()> {
        let Some(text) = self.first_key().clone() else {
            return Ok(());
        };
        let key = Key {
            id: text.id(),
            app: None,
            name: "auth.first_key_file".into(),
            read_only: false,
            created_at: self.now(),
            expires_at: None,
            last_used: None,
        };
        let id = key.id;
        let stored = StoredKey::new(key, &text);
        match self.keys.store(&stored).await? {
            KeyCreation::Created => info!(key = %id, "Stored the key of auth.first_key_file"),
            KeyCreation::Exists { is_revoked: false } => {}
            KeyCreation::Exists { is_revoked: true } => {
                warn!(key = %id, "The key of auth.first_key_file was revoked and is not accepted: set another one (confab keys generate)");
            }
            KeyCreation::Taken => {
                warn!(key = %id, "The key of auth.first_key_file has the ID of another key and is not accepted: set another one (confab keys generate)");
            }
            KeyCreation::Full(limit) => {
                warn!(key = %id, limit, "The key of auth.first_key_file is not accepted, because limits.keys is reached: revoke a key and restart");
            }
        }
        *self.first_key() = None;
        Ok(())
    }
}
