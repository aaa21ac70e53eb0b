//! Accepting writes: Redis decides by its own data, and facts that only the rows hold are looked up.
//!
//! A write that needs a [`Fact`] changes nothing. The fact is looked up in MySQL *after* Redis requested it, given to
//! Redis, and the write is offered again.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;

use super::{
    Services,
    mysql::Mysql,
    redis::{EncodedWrite, Fact, Offered, Redis},
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
        self.enqueue.call(EncodedWrite::new(write, request)).await
    }
}

/// Offers writes, in their order, until each is settled; returns their outcomes in that order.
pub(super) async fn enqueue_group(
    redis: &Redis,
    mysql: &Mysql,
    writes: &[EncodedWrite],
) -> Vec<Result<Enqueued>> {
    let mut outcomes: Vec<Option<Result<Enqueued>>> = writes.iter().map(|_| None).collect();
    for _ in 0..ATTEMPTS {
        let open: Vec<usize> = (0..writes.len())
            .filter(|position| outcomes[*position].is_none())
            .collect();
        if open.is_empty() {
            break;
        }
        let offered = match redis
            .offer(open.iter().map(|position| &writes[*position]))
            .await
        {
            Ok(offered) => offered,
            Err(error) => open
                .iter()
                .map(|_| Offered::Settled(Err(error.clone())))
                .collect(),
        };
        let known = learn_all(redis, mysql, &offered).await;
        for (position, offered) in open.into_iter().zip(offered) {
            outcomes[position] = match offered {
                Offered::Settled(outcome) => Some(outcome),
                Offered::Needs(fact) => match &known[&fact] {
                    Ok(true) => None,
                    Ok(false) => Some(Ok(Enqueued::Missing)),
                    Err(error) => Some(Err(error.clone())),
                },
            };
        }
    }
    let unsettled = || Err(unsettled());
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(unsettled))
        .collect()
}

/// Looks up each needed fact once for all writes of the group.
async fn learn_all(
    redis: &Redis,
    mysql: &Mysql,
    offered: &[Offered],
) -> HashMap<Fact, Result<bool>> {
    let needed: HashSet<Fact> = offered
        .iter()
        .filter_map(|offered| match offered {
            Offered::Needs(fact) => Some(*fact),
            Offered::Settled(_) => None,
        })
        .collect();
    let learn = needed
        .into_iter()
        .map(async |fact| (fact, learn(redis, mysql, fact).await));
    join_all(learn).await.into_iter().collect()
}

/// Looks up a fact in MySQL and gives it to Redis; false if the entity does not exist, neither queued nor stored.
pub(super) async fn learn(redis: &Redis, mysql: &Mysql, fact: Fact) -> Result<bool> {
    let highest = match fact {
        Fact::HighestChat { app, .. } => mysql.highest_chat(app).await?,
        Fact::HighestMessage { chat, .. } => mysql.highest_message(chat).await?,
    };
    redis.learn(fact, highest).await
}

/// The error of a write that is not settled after [`ATTEMPTS`] offers.
pub(super) fn unsettled() -> Error {
    Error::Unavailable {
        store: "Redis",
        detail: "its counters stay in an older epoch".into(),
    }
}
