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
    pub fn matches(&self, text: &str) -> bool {
        self.hash.ct_eq(&KeyText::hash_of(text)).into()
    }

    /// Notes a use. True for the first one of the day.
    pub fn use_at(&self, now: Timestamp) -> bool {
        let today = day_number(now.date_naive());
        // Written once a day, because all threads read this for each request.
        self.last_used.load(Ordering::Relaxed) < today
            && self.last_used.fetch_max(today, Ordering::Relaxed) < today
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
    /// Number of the last change that was read; `None` before the first read.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Tells whether a read at `now` can continue from the number: false if there was no successful read for `max_gap`.
    pub fn continues(&self, now: Duration, max_gap: Duration) -> bool {
        is_recent(self.read_at, now, max_gap)
    }

    /// Tells whether there was no read of everything for `max_age`.
    pub fn is_older(&self, now: Duration, max_age: Duration) -> bool {
        !is_recent(self.reloaded_at, now, max_age)
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
            if stored.is_revoked {
                self.keys.remove(&stored.key.id);
                continue;
            }
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

fn is_recent(time: Option<Duration>, now: Duration, limit: Duration) -> bool {
    time.is_some_and(|time| now.saturating_sub(time) <= limit)
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
        assert_eq!(cache.number(), Some(2));
    }

    #[test]
    fn everything_is_read_at_first_after_a_gap_and_at_intervals() {
        let (gap, age) = (SECOND * 5, SECOND * 20);
        let mut cache = Cache::default();
        assert_eq!(cache.number(), None);
        assert!(!cache.continues(SECOND, gap) && cache.is_older(SECOND, age));
        cache.apply(changes(7, true, Vec::new()), SECOND * 10);
        assert_eq!(cache.number(), Some(7));
        assert!(cache.continues(SECOND * 15, gap));
        assert!(!cache.continues(SECOND * 16, gap));
        cache.apply(changes(8, false, Vec::new()), SECOND * 28);
        assert_eq!(cache.number(), Some(8));
        assert!(!cache.is_older(SECOND * 30, age));
        assert!(cache.is_older(SECOND * 31, age));
    }

    #[test]
    fn reading_everything_undoes_no_change_that_was_read_meanwhile() {
        let (kept, revoked) = (KeyText::generate(), KeyText::generate());
        let both = vec![stored(&kept, false), stored(&revoked, false)];
        let mut cache = Cache::default();
        cache.apply(changes(1, true, both.clone()), SECOND);
        let change = changes(2, false, vec![stored(&revoked, true)]);
        cache.apply(change.clone(), SECOND * 2);
        let everything = changes(1, true, both).followed_by(change);
        assert!(!cache.apply(everything, SECOND * 3));
        assert!(cache.key(&revoked.id()).is_none() && cache.key(&kept.id()).is_some());
        assert_eq!(cache.number(), Some(2));
        assert!(!cache.is_older(SECOND * 3, Duration::ZERO));
    }

    #[test]
    fn reading_everything_removes_keys_that_are_gone_and_keeps_uses() {
        let (kept, gone) = (KeyText::generate(), KeyText::generate());
        let both = vec![stored(&kept, false), stored(&gone, false)];
        let mut cache = Cache::default();
        cache.apply(changes(1, true, both), SECOND);
        let now = from_millis(86_400_000);
        let key = cache.key(&kept.id()).expect("a key");
        assert!(key.matches(kept.as_str()) && !key.matches(gone.as_str()));
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
