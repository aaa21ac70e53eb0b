//! All keys and revocations, in memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use chrono::{Datelike as _, NaiveDate};
use subtle::ConstantTimeEq as _;

use crate::{
    domain::{AppId, Key, KeyId, KeyText, Timestamp},
    stores::{CredentialChanges, StoredKey, UserRevocation},
};

/// A key that is not revoked. It may have expired.
pub struct CachedKey {
    /// The key.
    pub key: Key,
    hash: [u8; 32],
    signing_secret: Option<[u8; 32]>,
    /// Day of the last use that this process has recorded, as a number of days.
    last_used: AtomicI32,
}

impl CachedKey {
    fn new(stored: StoredKey) -> Self {
        let last_used = stored.key.last_used.map_or(i32::MIN, day_number);
        Self {
            key: stored.key,
            hash: stored.hash,
            signing_secret: stored.signing_secret,
            last_used: AtomicI32::new(last_used),
        }
    }

    /// Secret with which user tokens are signed; `None` for an installation key.
    pub fn signing_secret(&self) -> Option<&[u8; 32]> {
        self.signing_secret.as_ref()
    }

    /// Tells whether a text is that of this key, in a time that does not depend on where they differ.
    pub fn matches(&self, text: &KeyText) -> bool {
        self.hash.ct_eq(&text.hash()).into()
    }

    /// Notes a use. True for the first one of the day.
    pub fn use_at(&self, now: Timestamp) -> bool {
        let today = day_number(now.date_naive());
        self.last_used.fetch_max(today, Ordering::Relaxed) < today
    }
}

impl fmt::Debug for CachedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

fn day_number(day: NaiveDate) -> i32 {
    day.num_days_from_ce()
}

/// Everything that a request's credential is compared with.
#[derive(Default)]
pub struct Cache {
    keys: HashMap<KeyId, Arc<CachedKey>>,
    /// Per user of an application: the second up to which issued tokens are revoked.
    users: HashMap<AppId, HashMap<String, i64>>,
    /// Number of the last change.
    number: Option<u64>,
    /// Start of the read that was applied last, and of the last one that read everything.
    read_at: Option<Duration>,
    reloaded_at: Option<Duration>,
}

impl Cache {
    /// Number from which a read at `now` continues; `None` if it must read everything, because there was no successful read
    /// for `max_gap`, or none of everything for `max_age`.
    pub fn number(&self, now: Duration, max_gap: Duration, max_age: Duration) -> Option<u64> {
        let is_recent = |time: Option<Duration>, limit| {
            time.is_some_and(|time| now.saturating_sub(time) <= limit)
        };
        let continues = is_recent(self.read_at, max_gap) && is_recent(self.reloaded_at, max_age);
        self.number.filter(|_| continues)
    }

    /// Start of the read that was applied last.
    pub fn read_at(&self) -> Option<Duration> {
        self.read_at
    }

    /// A key that is not revoked.
    pub fn key(&self, id: &KeyId) -> Option<Arc<CachedKey>> {
        self.keys.get(id).cloned()
    }

    /// The second up to which the tokens of a user are revoked.
    pub fn issued_until(&self, app: AppId, user: &str) -> Option<i64> {
        self.users.get(&app)?.get(user).copied()
    }

    /// Applies what a read that began at `read_at` returned, unless a later one was applied. True if something that was
    /// accepted before may be refused now.
    pub fn apply(&mut self, changes: CredentialChanges, read_at: Duration) -> bool {
        if self.read_at.is_some_and(|applied| applied >= read_at) {
            return false;
        }
        self.read_at = Some(read_at);
        self.number = Some(changes.number);
        if changes.is_everything {
            self.reloaded_at = Some(read_at);
            return self.replace(changes);
        }
        let is_change = !changes.keys.is_empty() || !changes.revocations.is_empty();
        for stored in changes.keys {
            let id = stored.key.id;
            if stored.is_revoked {
                self.keys.remove(&id);
            } else {
                self.keys.insert(id, Arc::new(CachedKey::new(stored)));
            }
        }
        self.insert_revocations(changes.revocations);
        is_change
    }

    fn replace(&mut self, changes: CredentialChanges) -> bool {
        let former = std::mem::take(&mut self.keys);
        let former_users = std::mem::take(&mut self.users);
        for stored in changes.keys {
            // A key that did not change keeps the day of its last use.
            let key = match former.get(&stored.key.id) {
                Some(cached) if is_same(cached, &stored) => cached.clone(),
                _ => Arc::new(CachedKey::new(stored)),
            };
            self.keys.insert(key.key.id, key);
        }
        self.insert_revocations(changes.revocations);
        let is_kept = |(id, key): (&KeyId, &Arc<CachedKey>)| {
            let now = self.keys.get(id);
            now.is_some_and(|now| Arc::ptr_eq(now, key))
        };
        !former.iter().all(is_kept) || former_users != self.users
    }

    fn insert_revocations(&mut self, revocations: Vec<UserRevocation>) {
        for UserRevocation {
            app,
            user,
            issued_until,
        } in revocations
        {
            self.users
                .entry(app)
                .or_default()
                .insert(user, issued_until);
        }
    }
}

/// Compares all but the day of the last use.
fn is_same(cached: &CachedKey, stored: &StoredKey) -> bool {
    let key = Key {
        last_used: cached.key.last_used,
        ..stored.key.clone()
    };
    cached.key == key
        && cached.hash == stored.hash
        && cached.signing_secret == stored.signing_secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::from_millis;

    const SECOND: Duration = Duration::from_secs(1);

    fn stored(text: &KeyText, is_revoked: bool) -> StoredKey {
        let key = Key {
            id: text.id(),
            app: None,
            name: String::new(),
            read_only: false,
            created_at: from_millis(0),
            expires_at: None,
            last_used: None,
        };
        StoredKey {
            is_revoked,
            ..StoredKey::new(key, text)
        }
    }

    fn changes(number: u64, is_everything: bool, keys: Vec<StoredKey>) -> CredentialChanges {
        CredentialChanges {
            number,
            is_everything,
            keys,
            revocations: Vec::new(),
        }
    }

    #[test]
    fn a_read_that_ends_late_brings_no_revoked_key_back() {
        let text = KeyText::generate();
        let mut cache = Cache::default();
        assert!(!cache.apply(changes(1, true, vec![stored(&text, false)]), SECOND));
        assert!(cache.apply(changes(2, false, vec![stored(&text, true)]), SECOND * 3));
        // It began before the revocation.
        assert!(!cache.apply(changes(1, false, vec![stored(&text, false)]), SECOND * 2));
        assert!(cache.key(&text.id()).is_none());
        assert_eq!(cache.read_at(), Some(SECOND * 3));
        assert_eq!(cache.number(SECOND * 3, SECOND, SECOND * 9), Some(2));
    }

    #[test]
    fn everything_is_read_at_first_after_a_gap_and_at_intervals() {
        let (gap, age) = (SECOND * 5, SECOND * 20);
        let mut cache = Cache::default();
        assert_eq!(cache.number(SECOND, gap, age), None);
        cache.apply(changes(7, true, Vec::new()), SECOND * 10);
        assert_eq!(cache.number(SECOND * 15, gap, age), Some(7));
        assert_eq!(cache.number(SECOND * 16, gap, age), None);
        cache.apply(changes(8, false, Vec::new()), SECOND * 28);
        assert_eq!(cache.number(SECOND * 30, gap, age), Some(8));
        assert_eq!(cache.number(SECOND * 31, gap, age), None);
    }

    #[test]
    fn reading_everything_removes_keys_that_are_gone_and_keeps_uses() {
        let (kept, gone) = (KeyText::generate(), KeyText::generate());
        let both = vec![stored(&kept, false), stored(&gone, false)];
        let mut cache = Cache::default();
        cache.apply(changes(1, true, both), SECOND);
        let now = from_millis(86_400_000);
        let key = cache.key(&kept.id()).expect("a key");
        assert!(key.matches(&kept) && !key.matches(&gone));
        assert!(key.use_at(now));
        assert!(!key.use_at(now));
        let left = vec![stored(&kept, false)];
        assert!(cache.apply(changes(1, true, left.clone()), SECOND * 2));
        assert!(cache.key(&gone.id()).is_none());
        let key = cache.key(&kept.id()).expect("a key");
        assert!(!key.use_at(now), "its first use of the day is known");
        assert!(!cache.apply(changes(1, true, left), SECOND * 3));
    }
}
