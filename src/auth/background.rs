//! Work that no request waits for.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Auth, uptime};
use crate::{domain::KeyId, stores::PRUNED};

/// Interval of the reads that no request asks for: so short that requests rarely wait for one.
const INTERVAL: Duration = Duration::from_millis(500);

/// Everything is read at this interval, whatever happened to the numbers of changes.
const RELOAD_INTERVAL: Duration = Duration::from_secs(300);

/// Interval at which uses of keys are recorded.
const RECORD_INTERVAL: Duration = Duration::from_secs(10);

/// Interval at which old revocations are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// Maximum number of keys whose uses one statement records.
const RECORDED: usize = 500;

/// Interval of the attempts to read everything while they fail.
const RELOAD_RETRY: Duration = Duration::from_secs(30);

/// Maximum number of statements that delete old revocations in a row, and the pause between them.
const PRUNES: usize = 2000;
const PRUNE_PAUSE: Duration = Duration::from_millis(50);

impl Auth {
    /// Reads changes and records uses until the process ends.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::spawn(self.clone().store_first_key_in_time(stop.clone()));
        let (mut recorded, mut pruned) = (Instant::now(), None::<Instant>);
        let mut reloaded = Instant::now();
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
                tokio::spawn(self.clone().prune());
            }
            let is_due = self.cache().is_older(uptime::now(), RELOAD_INTERVAL);
            if is_due && reloaded.elapsed() >= RELOAD_RETRY {
                reloaded = Instant::now();
                tokio::spawn(self.clone().reload_or_warn());
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

    async fn reload_or_warn(self: Arc<Self>) {
        if let Err(error) = self.reload().await {
            warn!(%error, retry = ?RELOAD_RETRY, "Failed to read all keys and revocations; changes are still read");
        }
    }

    /// Deletes old revocations, in small parts so that others can write in between.
    async fn prune(self: Arc<Self>) {
        let backend = self.keys.backend();
        for _ in 0..PRUNES {
            match backend.prune_revocations(self.keys.kept_since()).await {
                Ok(deleted) if deleted < PRUNED => return,
                Ok(_) => sleep(PRUNE_PAUSE).await,
                Err(error) => {
                    warn!(%error, "Failed to delete old revocations; the next attempt follows in an hour");
                    return;
                }
            }
        }
    }
}
