//! Accepting writes: Redis decides by its own data, and facts that only the rows hold are looked up.
//!
//! A write that needs a [`Fact`](super::redis::Fact) changes nothing. The fact is looked up in MySQL *after* Redis
//! requested it, given to Redis, and the write is offered again. Other writes of its group do not wait for that.

use std::sync::Arc;

use super::{
    Services,
    redis::{EncodedWrite, Offered, Redis},
};
use crate::{
    domain::{Kind, RequestId, Write},
    stores::{Enqueued, Error, Result},
};

/// Number of offers of a write before Redis counts as unavailable: facts may be missing, or epochs begin.
pub(super) const ATTEMPTS: usize = 4;

impl Services {
    pub(crate) async fn enqueue(
        &self,
        write: &Write,
        request: Option<&RequestId>,
    ) -> Result<Enqueued> {
        // Redis forgets, so the rows have to say whether an ID is taken.
        if write.kind == Kind::CreateApplication
            && self.mysql.application(write.target.app).await?.is_some()
        {
            return Ok(Enqueued::Taken);
        }
        let write = Arc::new(EncodedWrite::new(write, request));
        for _ in 0..ATTEMPTS {
            match self.offer.call(write.clone()).await? {
                Offered::Settled(outcome) => return outcome,
                Offered::Needs(fact) => {
                    if !self.facts.learn(fact).await? {
                        return Ok(Enqueued::Missing);
                    }
                }
            }
        }
        Err(unsettled())
    }
}

/// Offers a group of writes, in their order.
pub(super) async fn offer_group(
    redis: &Redis,
    writes: &[Arc<EncodedWrite>],
) -> Result<Vec<Result<Offered>>> {
    let offered = redis.offer(writes.iter().map(Arc::as_ref)).await?;
    Ok(offered.into_iter().map(Ok).collect())
}

/// The error of a write that is not settled after [`ATTEMPTS`] offers.
pub(super) fn unsettled() -> Error {
    Error::Unavailable {
        store: "Redis",
        detail: "its counters stay in an older epoch".into(),
    }
}
