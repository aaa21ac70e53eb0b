//! Facts that only the rows hold: looked up in MySQL after Redis requested them.
//!
//! A counter is given to Redis at once. The version of a message, and the creation of an idempotency key, are sent together with
//! the write that needs them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    GROUP,
    mysql::{Mysql, StoredCreation},
    redis::{CounterKey, Fact, Redis, Stored, StoredCounter, Subject},
};
use crate::{
    domain::{Hash, MessageKey},
    stores::{Result, coalescer::Coalescer},
};

/// Groups of look-ups in flight at once. With one, groups are larger, and a look-up costs less.
const IN_FLIGHT: usize = 1;

/// Outcome of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The owner of the counter does not exist, neither queued nor stored, or is deleted.
    Missing,
    /// Redis knows the counter now.
    Learned,
    /// Stored version or creation, for the script that accepts writes.
    Stored(Stored),
}

/// Look-ups of facts. Concurrent ones share a query, and a counter without an owner is remembered for a moment, so that
/// probing for IDs does not occupy MySQL.
pub(super) struct Facts {
    look_up: Coalescer<Fact, Found>,
    unknown: Unknown,
}

impl Facts {
    /// Prepares the look-ups.
    pub fn new(redis: Arc<Redis>, mysql: Arc<Mysql>) -> Self {
        let look_up = move |facts: Vec<Fact>| {
            let (redis, mysql) = (redis.clone(), mysql.clone());
            async move { Ok(look_up_all(&redis, &mysql, &facts).await) }
        };
        Self {
            look_up: Coalescer::new("MySQL", GROUP, IN_FLIGHT, look_up),
            unknown: Unknown::default(),
        }
    }

    /// Looks up a fact.
    pub async fn look_up(&self, fact: Fact) -> Result<Found> {
        if self.unknown.contains(fact, Instant::now()) {
            return Ok(Found::Missing);
        }
        // Before the query, so that the entry expires early rather than late.
        let asked = Instant::now();
        let found = self.look_up.call(fact).await?;
        if found == Found::Missing {
            self.unknown.insert(fact, asked);
        }
        Ok(found)
    }
}

/// Looks up each fact once for all that need it: one query for all messages, one for all idempotency keys, and one for each
/// counter.
async fn look_up_all(redis: &Redis, mysql: &Mysql, facts: &[Fact]) -> Vec<Result<Found>> {
    let subjects = facts.iter().map(|fact| fact.subject);
    let messages: HashSet<MessageKey> = subjects.clone().filter_map(message).collect();
    let keys: HashSet<Hash> = subjects.filter_map(key).collect();
    let (messages, keys) = (Vec::from_iter(messages), Vec::from_iter(keys));
    let (versions, creations, counters) = tokio::join!(
        mysql.versions(&messages),
        mysql.creations(&keys),
        learn_all(redis, mysql, facts),
    );
    let found = |fact: &Fact| match fact.subject {
        Subject::Counter(_) => counters[&fact.timeless()].clone(),
        Subject::Version(message) => {
            let versions = versions.as_ref().map_err(Clone::clone)?;
            Ok(Found::Stored(match versions.get(&message) {
                None => Stored::Nothing,
                Some(version) if version.is_deleted => Stored::DeletedMessage(version.revision),
                Some(version) => Stored::Version(version.revision),
            }))
        }
        Subject::Creation(key) => {
            let creations = creations.as_ref().map_err(Clone::clone)?;
            Ok(Found::Stored(stored_creation(creations.get(&key))))
        }
    };
    facts.iter().map(found).collect()
}

/// Converts what is stored of an idempotency key for the script that accepts writes.
pub(super) fn stored_creation(found: Option<&StoredCreation>) -> Stored {
    found.map_or(Stored::Nothing, |found| Stored::Creation {
        number: found.number,
        body: found.body,
    })
}

/// Looks up each counter once, and raises it.
async fn learn_all(redis: &Redis, mysql: &Mysql, facts: &[Fact]) -> HashMap<Fact, Result<Found>> {
    // All were requested before this look-up, so the time of any request will do.
    let needed: HashMap<Fact, Fact> = facts.iter().map(|fact| (fact.timeless(), *fact)).collect();
    let learn = needed.into_iter().filter_map(|(key, fact)| {
        let Subject::Counter(counter) = fact.subject else {
            return None;
        };
        Some(async move { (key, learn(redis, mysql, fact, counter).await) })
    });
    join_all(learn).await.into_iter().collect()
}

async fn learn(redis: &Redis, mysql: &Mysql, fact: Fact, counter: CounterKey) -> Result<Found> {
    let owner = match counter {
        CounterKey::Chats(app) => mysql.owner_of_chats(app).await?,
        CounterKey::Messages(chat) => mysql.owner_of_messages(chat).await?,
    };
    let stored = if owner.is_deleted() {
        StoredCounter::Deleted
    } else if owner.is_found() {
        StoredCounter::Highest {
            number: owner.highest(),
            deleted_chats: owner.deleted_chats(),
        }
    } else {
        StoredCounter::Missing
    };
    Ok(match redis.learn(counter, fact.stamp, stored).await? {
        true => Found::Learned,
        false => Found::Missing,
    })
}

fn message(subject: Subject) -> Option<MessageKey> {
    match subject {
        Subject::Version(message) => Some(message),
        _ => None,
    }
}

fn key(subject: Subject) -> Option<Hash> {
    match subject {
        Subject::Creation(key) => Some(key),
        _ => None,
    }
}

/// Facts about entities that did not exist a moment ago.
///
/// An entry cannot hide a new entity: Redis has a counter of whatever it accepted in this epoch, for longer than an entry
/// holds, and requests no fact about it. A fact of an older epoch is another key. An entry only hides rows that something else than Confab adds.
#[derive(Default)]
struct Unknown(Mutex<HashMap<Fact, Instant>>);

impl Unknown {
    /// Time for which an entry holds.
    const HOLDS: Duration = Duration::from_secs(1);

    /// Maximum number of entries: about 1 MB.
    const ENTRIES: usize = 10_000;

    fn contains(&self, fact: Fact, now: Instant) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(&fact.timeless())
            .is_some_and(|asked| now.duration_since(*asked) < Self::HOLDS)
    }

    fn insert(&self, fact: Fact, asked: Instant) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= Self::ENTRIES {
            // Most are expired, and the others cost one more query.
            entries.clear();
        }
        entries.insert(fact.timeless(), asked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::AppId, stores::services::redis::Stamp};

    fn fact(app: u32, epoch: u64) -> Fact {
        let app = AppId(app);
        let at = rand::random();
        Fact {
            subject: Subject::Counter(CounterKey::Chats(app)),
            stamp: Stamp { epoch, at },
        }
    }

    #[test]
    fn unknown_facts_expire_belong_to_an_epoch_and_are_bounded() {
        let (unknown, now) = (Unknown::default(), Instant::now());
        unknown.insert(fact(0, 1), now);
        assert!(unknown.contains(fact(0, 1), now));
        assert!(!unknown.contains(fact(0, 2), now));
        assert!(!unknown.contains(fact(1, 1), now));
        assert!(!unknown.contains(fact(0, 1), now + Unknown::HOLDS));
        for app in 0..100_000 {
            unknown.insert(fact(app, 1), now);
            assert!(unknown.0.lock().unwrap().len() <= Unknown::ENTRIES);
        }
    }
}
