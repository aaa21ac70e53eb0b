//! Accepting writes: Redis decides by its own data, and facts that only the rows hold are looked up.
//!
//! A write that needs a [`Fact`](super::redis::Fact) changes nothing. The fact is looked up in MySQL *after* Redis
//! requested it, and the write is offered again. Other writes of its group do not wait for that.

use super::{
    Services,
    facts::{self, Found},
    mysql::Mysql,
    redis::{EncodedWrite, Fact, Limits, Offered, Redis, Subject},
};
use crate::{
    domain::{Kind, RequestId, Write},
    stores::{Enqueued, Error, Result},
};

/// Number of offers of a write before Redis counts as unavailable: facts may be missing, or epochs begin.
pub(super) const ATTEMPTS: usize = 5;

impl Services {
    pub(crate) async fn enqueue(
        &self,
        write: &Write,
        request: Option<&RequestId>,
    ) -> Result<Enqueued> {
        // Redis forgets, so the rows have to say whether an ID is taken, also that of a deleted application.
        if write.kind == Kind::CreateApplication
            && self.mysql.application(write.target.app).await?.is_some()
        {
            return Ok(Enqueued::Taken);
        }
        let write = EncodedWrite::new(write, request);
        self.settle(write, Limits::Settings).await
    }

    /// Offers a write until Redis knows all facts that it needs.
    pub(super) async fn settle(&self, mut write: EncodedWrite, limits: Limits) -> Result<Enqueued> {
        for _ in 0..ATTEMPTS {
            let offered = match limits {
                Limits::Settings if write.needs_key() => {
                    self.offer_with_key.call(write.clone()).await?
                }
                Limits::Settings => self.offer.call(write.clone()).await?,
                Limits::None => offer_one(&self.redis, &write).await?,
            };
            let fact = match offered {
                Offered::Settled(outcome) => return outcome,
                Offered::Needs(fact) => fact,
            };
            match self.facts.look_up(fact).await? {
                Found::Missing => return Ok(Enqueued::Missing),
                Found::Learned => {}
                Found::Stored(stored) => write = write.with_fact(fact, stored),
            }
        }
        Err(unsettled())
    }
}

/// Offers a group of writes, in their order.
pub(super) async fn offer_group(
    redis: &Redis,
    writes: &[EncodedWrite],
) -> Result<Vec<Result<Offered>>> {
    let offered = redis.offer(writes.iter(), Limits::Settings).await?;
    Ok(offered.into_iter().map(Ok).collect())
}

/// Offers a group of creations with idempotency keys. Most keys are new, so that Redis does not know them and would request
/// each: they are looked up before.
pub(super) async fn offer_group_with_keys(
    redis: &Redis,
    mysql: &Mysql,
    mut writes: Vec<EncodedWrite>,
) -> Result<Vec<Result<Offered>>> {
    let keys: Vec<_> = writes.iter().filter_map(EncodedWrite::key).collect();
    // Without the facts, Redis requests them, and the next look-up returns the error.
    if let Some(stamp) = redis.recent_stamp()
        && let Ok(creations) = mysql.creations(&keys).await
    {
        for write in &mut writes {
            if let Some(key) = write.key() {
                let stored = facts::stored_creation(creations.get(&key));
                let subject = Subject::Creation(key);
                *write = write.with_fact(Fact { subject, stamp }, stored);
            }
        }
    }
    offer_group(redis, &writes).await
}

/// Offers one write, whatever the limits of the queue.
async fn offer_one(redis: &Redis, write: &EncodedWrite) -> Result<Offered> {
    let offered = redis.offer(std::iter::once(write), Limits::None).await?;
    offered.into_iter().next().ok_or_else(unsettled)
}

/// The error of a write that is not settled after [`ATTEMPTS`] offers.
pub(super) fn unsettled() -> Error {
    Error::Unavailable {
        store: "Redis",
        detail: "its facts stay outdated".into(),
    }
}
