//! Eviction of counters that were not used for a while, so that Redis does not grow with the number of chats.
//!
//! MySQL holds the number of such a counter. The next use raises it again, by a fact that is at most 30 s old. Idle times
//! are longer than that, so a fact is never older than the eviction.

use std::time::Duration;

use super::{CounterKey, Redis, connection::ConnectionClass, failed, scripts::ScriptCall};
use crate::stores::{Result, call::call};

/// Number of keys that one call looks at: it blocks Redis for about 1.5 ms.
const KEYS: usize = 200;

/// Pause after a call that changed nothing. It is shorter after others.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum pause after the last key.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// Number of counters that were removed.
    pub counters: u64,
    /// Time until the next call.
    pub wait: Duration,
    /// Idle counters that may be above what MySQL holds. They can be evicted once they were raised to it in this epoch.
    pub unverified: Vec<CounterKey>,
}

impl Redis {
    /// Evicts counters that have been idle for the configured time, of some keys.
    pub async fn evict_idle(&self) -> Result<Evicted> {
        self.evict(self.settings.idle).await
    }

    /// Evicts counters that have been idle for `idle`, of some keys.
    pub async fn evict(&self, idle: Duration) -> Result<Evicted> {
        let after_the_last = (idle / 60).clamp(PAUSE, LONGEST_PAUSE);
        let mut command = ScriptCall::new(|scripts| &scripts.evict);
        command.arg(millis(idle)).arg(KEYS).arg(millis(PAUSE));
        command.arg(millis(after_the_last));
        let evict = self.call(call!("queue", "evict"), ConnectionClass::Pool, &command);
        match &evict.await?[..] {
            [counters, wait, unverified @ ..] => Ok(Evicted {
                counters: counters.parse().map_err(failed)?,
                wait: Duration::from_millis(wait.parse().map_err(failed)?),
                unverified: unverified
                    .iter()
                    .map(|key| {
                        CounterKey::parse(key).ok_or_else(|| failed(format!("{key} is no counter")))
                    })
                    .collect::<Result<_>>()?,
            }),
            other => Err(failed(format!("evicting returned {other:?}"))),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
