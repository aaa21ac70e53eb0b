//! Reading what changed.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{Auth, AuthError, uptime};
use crate::stores::{CredentialChanges, Error, RELOAD_TIME_LIMIT, Result};

/// Age of the last read above which a request waits for another one.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Minimum interval of reads, however many requests ask for one.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Time limit of a read of changes. A slower one counts as an outage; it goes on, and its result is still used.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Time for which requests rely on a failed attempt, and do not wait for another one. The reads in the background begin more
/// often; after a longer time the process was suspended.
const FAILURE_AGE: Duration = Duration::from_secs(2);

/// Everything is read after this time without a successful read: the database may have been restored from a backup.
const MAX_GAP: Duration = Duration::from_secs(5);

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
        if is_recent(MAX_AGE) || (self.has_just_failed() && is_recent(self.settings.grace)) {
            return Ok(());
        }
        let attempt = self.refresh(uptime::now().saturating_sub(MAX_AGE)).await;
        match attempt {
            Err(_) if is_recent(self.settings.grace) => Ok(()),
            attempt => Ok(attempt?),
        }
    }

    /// Tells whether the last attempt to read failed, and ended so recently that another one is not worth the wait.
    fn has_just_failed(&self) -> bool {
        let failed_at = Duration::from_millis(self.failed_at.load(Ordering::Acquire));
        !failed_at.is_zero() && uptime::now().saturating_sub(failed_at) <= FAILURE_AGE
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
        let knows_none = self.cache().number().is_none();
        let responds = Arc::new(AtomicBool::new(knows_none));
        // In its own task: a call that is dropped would look like an outage to the store's circuit breaker.
        let (auth, responded) = (self.clone(), responds.clone());
        let mut read = tokio::spawn(async move { auth.read(began, &responded).await });
        let mut limit = TIME_LIMIT;
        let mut result = timeout(limit, &mut read).await;
        if result.is_err() && responds.load(Ordering::Acquire) {
            limit += RELOAD_TIME_LIMIT;
            result = timeout(RELOAD_TIME_LIMIT, read).await;
        }
        let outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(failed(&panic)),
            Err(_) => Err(Error::Unavailable {
                store: "the database",
                detail: format!("no revocations within {:?}", uptime::now() - began),
            }),
        };
        let now = uptime::now();
        // If it took longer, the process was suspended meanwhile, and the failure says nothing about the database.
        let is_outage = outcome.is_err() && now.saturating_sub(began) <= limit + FAILURE_AGE;
        let failed_at = if is_outage { millis(now) } else { 0 };
        self.failed_at.store(failed_at, Ordering::Release);
        let attempt = last.insert(Attempt { began, outcome });
        attempt.outcome.clone()
    }

    /// Makes a change of this process known to it. The change is made even if this fails.
    pub(super) async fn refresh_after_change(self: &Arc<Self>) {
        if let Err(error) = self.refresh(uptime::now()).await {
            warn!(%error, "Failed to read a change of credentials; it is read when the database responds");
        }
    }

    /// Reads the changes, or everything after a gap, and applies them. Sets `responds` before it reads everything.
    async fn read(&self, began: Duration, responds: &AtomicBool) -> Result<()> {
        self.store_first_key_at_start().await;
        let (number, continues) = {
            let cache = self.cache();
            (cache.number(), cache.continues(began, MAX_GAP))
        };
        // Also after a gap: a database that does not respond must not take the time of a read of everything.
        let changes = self.read_from(number).await?;
        if continues || changes.is_everything {
            self.apply(changes, began);
            return Ok(());
        }
        responds.store(true, Ordering::Release);
        let _one = self.reloading.lock().await;
        if self.cache().read_at() < Some(began) {
            self.apply(self.read_from(None).await?, began);
        }
        Ok(())
    }

    /// Reads everything while the reads of changes go on.
    pub(super) async fn reload(&self) -> Result<()> {
        let _one = self.reloading.lock().await;
        let everything = self.read_from(None).await?;
        // What changed meanwhile may have been applied already, and must not be undone.
        let began = uptime::now();
        let changes = self.read_from(Some(everything.number)).await?;
        self.apply(everything.followed_by(changes), began);
        Ok(())
    }

    async fn read_from(&self, number: Option<u64>) -> Result<CredentialChanges> {
        let backend = self.keys.backend();
        let read = backend.credential_changes(number, self.now(), self.keys.kept_since());
        read.await
    }

    /// Applies what a read that began at `began` returned.
    fn apply(&self, changes: CredentialChanges, began: Duration) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        let restricts = cache.apply(changes, began);
        let read_at = millis(cache.read_at().unwrap_or_default());
        self.read_at.store(read_at, Ordering::Release);
        drop(cache);
        if restricts {
            self.revocations.send_modify(|count| *count += 1);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Failed {
        store: "the database",
        detail: error.to_string(),
    }
}
