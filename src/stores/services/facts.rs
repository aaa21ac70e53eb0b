//! Facts that only the rows hold: looked up in MySQL after Redis requested them, then given to Redis.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    GROUP,
    mysql::Mysql,
    redis::{Fact, Redis},
};
use crate::stores::{Result, coalescer::Coalescer};

/// Groups of look-ups in flight at once.
const IN_FLIGHT: usize = 4;

/// Look-ups of facts. Concurrent ones of the same fact share a query, and one that found nothing is remembered for a
/// moment, so that probing for IDs does not occupy MySQL.
pub(super) struct Facts {
    learn: Coalescer<Fact, bool>,
    unknown: Unknown,
}

impl Facts {
    /// Prepares the look-ups.
    pub fn new(redis: Arc<Redis>, mysql: Arc<Mysql>) -> Self {
        let learn = move |facts: Vec<Fact>| {
            let (redis, mysql) = (redis.clone(), mysql.clone());
            async move { Ok(learn_all(&redis, &mysql, &facts).await) }
        };
        Self {
            learn: Coalescer::new("MySQL", GROUP, IN_FLIGHT, learn),
            unknown: Unknown::default(),
        }
    }

    /// Looks up a fact and gives it to Redis; false if the entity does not exist, neither queued nor stored.
    pub async fn learn(&self, fact: Fact) -> Result<bool> {
        if self.unknown.contains(fact, Instant::now()) {
            return Ok(false);
        }
        // Before the query, so that the entry expires early rather than late.
        let asked = Instant::now();
        let exists = self.learn.call(fact).await?;
        if !exists {
            self.unknown.insert(fact, asked);
        }
        Ok(exists)
    }
}

/// Looks up each fact once for all that need it.
async fn learn_all(redis: &Redis, mysql: &Mysql, facts: &[Fact]) -> Vec<Result<bool>> {
    // All were requested before this look-up, so the time of any request will do.
    let needed: HashMap<Fact, Fact> = facts.iter().map(|fact| (fact.timeless(), *fact)).collect();
    let learn = needed
        .into_iter()
        .map(async |(key, fact)| (key, learn(redis, mysql, fact).await));
    let known: HashMap<Fact, Result<bool>> = join_all(learn).await.into_iter().collect();
    let outcomes = facts.iter().map(|fact| known[&fact.timeless()].clone());
    outcomes.collect()
}

async fn learn(redis: &Redis, mysql: &Mysql, fact: Fact) -> Result<bool> {
    let highest = match fact {
        Fact::HighestChat { app, .. } => mysql.highest_chat(app).await?,
        Fact::HighestMessage { chat, .. } => mysql.highest_message(chat).await?,
    };
    redis.learn(fact, highest).await
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
        let stamp = Stamp { epoch, at };
        Fact::HighestChat { app, stamp }
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
