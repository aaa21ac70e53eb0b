//! Reading what changed.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Auth, AuthError, uptime};
use crate::{
    domain::{Key, KeyId},
    stores::{Error, KeyCreation, Result, StoredKey},
};

/// Age of the last read above which a request waits for another one.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Interval of the reads that no request asks for: so short that requests rarely wait for one.
const INTERVAL: Duration = Duration::from_millis(500);

/// Minimum interval of reads, however many requests ask for one.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Time limit of a read of changes. A slower one counts as an outage; it goes on, and its result is still used.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Time limit of a read of everything.
const RELOAD_TIME_LIMIT: Duration = Duration::from_secs(10);

/// Everything is read after this time without a successful read: the database may have been restored from a backup.
const MAX_GAP: Duration = Duration::from_secs(5);

/// Everything is read at this interval, whatever happened to the numbers of changes.
const RELOAD_INTERVAL: Duration = Duration::from_secs(300);

/// Interval at which uses of keys are recorded.
const RECORD_INTERVAL: Duration = Duration::from_secs(10);

/// Interval at which old revocations are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// Maximum number of keys whose uses one statement records.
const RECORDED: usize = 500;

/// The last attempt to read.
pub(super) struct Attempt {
    began: Duration,
    outcome: Result<()>,
}

impl Auth {
    /// Reads the changes if the last read is older than a second. If the database is unreachable, what is known is used
    /// until the grace period ends.
    pub(super) async fn refresh_if_old(self: &Arc<Self>) -> std::result::Result<(), AuthError> {
        let is_recent = |limit| {
            let read_at = self.read_at();
            read_at.is_some_and(|time| uptime::now().saturating_sub(time) <= limit)
        };
        if is_recent(MAX_AGE) {
            return Ok(());
        }
        let attempt = self.refresh(uptime::now().saturating_sub(MAX_AGE)).await;
        match attempt {
            Err(_) if is_recent(self.settings.grace) => Ok(()),
            attempt => Ok(attempt?),
        }
    }

    /// Reads the changes, unless a read has begun at `since` or later; then returns its outcome.
    pub(super) async fn refresh(self: &Arc<Self>, since: Duration) -> Result<()> {
        let last = self.reading.clone().lock_owned().await;
        if let Some(attempt) = &*last
            && attempt.began >= since
        {
            return attempt.outcome.clone();
        }
        // In its own task: callers that are dropped must neither end the interval nor hide the attempt from the next ones.
        let attempt = tokio::spawn(self.clone().attempt(last));
        attempt.await.unwrap_or_else(|panic| Err(failed(&panic)))
    }

    /// Reads the changes, at the minimum interval, and notes the outcome.
    async fn attempt(self: Arc<Self>, mut last: OwnedMutexGuard<Option<Attempt>>) -> Result<()> {
        if let Some(attempt) = &*last {
            let next = attempt.began + MIN_INTERVAL;
            sleep(next.saturating_sub(uptime::now())).await;
        }
        let began = uptime::now();
        let number = self.cache().number(began, MAX_GAP, RELOAD_INTERVAL);
        let limit = match number {
            Some(_) => TIME_LIMIT,
            None => RELOAD_TIME_LIMIT,
        };
        // In its own task: a call that is dropped would look like an outage to the store's circuit breaker.
        let auth = self.clone();
        let read = tokio::spawn(async move { auth.read(number, began).await });
        let outcome = match timeout(limit, read).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(failed(&panic)),
            Err(_) => Err(Error::Unavailable {
                store: "the database",
                detail: format!("no revocations within {limit:?}"),
            }),
        };
        let attempt = last.insert(Attempt { began, outcome });
        attempt.outcome.clone()
    }

    /// Makes a change of this process known to it. The change is made even if this fails.
    pub(super) async fn refresh_after_change(self: &Arc<Self>) {
        if let Err(error) = self.refresh(uptime::now()).await {
            warn!(%error, "Failed to read a change of credentials; it is read when the database responds");
        }
    }

    async fn read(&self, number: Option<u64>, began: Duration) -> Result<()> {
        self.store_first_key().await?;
        let backend = self.keys.backend();
        let changes = backend.credential_changes(number, self.now()).await?;
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        let restricts = cache.apply(changes, began);
        let read_at = cache.read_at().unwrap_or_default().as_millis();
        self.read_at.store(
            u64::try_from(read_at).unwrap_or(u64::MAX),
            Ordering::Release,
        );
        drop(cache);
        if restricts {
            self.revocations.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Stores the key of `auth.first_key_file`, once.
    async fn store_first_key(&self) -> Result<()> {
        let lock = || {
            self.first_key
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let Some(text) = lock().clone() else {
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
        *lock() = None;
        Ok(())
    }

    /// Reads changes and records uses until the process ends.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut recorded, mut pruned) = (Instant::now(), None::<Instant>);
        let mut is_outage = false;
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            let outcome = self.refresh(uptime::now()).await;
            match &outcome {
                Ok(()) if is_outage => info!("Revocations are read again"),
                Err(error) if !is_outage => {
                    let grace = self.settings.grace;
                    warn!(%error, ?grace, "Failed to read revocations; requests return 503 after the grace period (auth.grace_s)");
                }
                _ => {}
            }
            is_outage = outcome.is_err();
            if is_outage {
                continue;
            }
            if recorded.elapsed() >= RECORD_INTERVAL {
                recorded = Instant::now();
                self.record_uses().await;
            }
            if pruned.is_none_or(|last| last.elapsed() >= PRUNE_INTERVAL) {
                pruned = Some(Instant::now());
                let backend = self.keys.backend();
                if let Err(error) = backend.prune_revocations(self.keys.kept_since()).await {
                    warn!(%error, "Failed to delete old revocations; the next attempt follows in an hour");
                }
            }
        }
        self.record_uses().await;
    }

    /// Records which keys were used today.
    async fn record_uses(&self) {
        let lock = || self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used: HashSet<KeyId> = mem::take(&mut *lock());
        let used: Vec<KeyId> = used.into_iter().collect();
        for keys in used.chunks(RECORDED) {
            let backend = self.keys.backend();
            if let Err(error) = backend.record_key_uses(keys, self.now()).await {
                warn!(%error, "Failed to record the uses of keys; the next attempt follows");
                lock().extend(keys);
            }
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Failed {
        store: "the database",
        detail: error.to_string(),
    }
}
