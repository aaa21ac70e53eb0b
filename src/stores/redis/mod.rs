//! [`JobQueue`](super::JobQueue) on Redis: lists as queues, and beside them the counters and what is not stored yet.
//!
//! Every step is one Lua script; `lua/common.lua` describes the keys.

mod accept;
mod admin;
mod connection;
mod epoch;
mod examine;
mod pending;
mod queue;
mod scripts;
mod server;

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;
use url::Url;

use self::{accept::Draft, connection::Connections, scripts::Scripts};
use super::{Acceptance, Error, Ledger, Result, gather::Gather, payload};
use crate::domain::{Entry, Message, MessageKey, Revision};

/// Writes that one script accepts at most: Redis does nothing else for the while, about a millisecond.
const GROUP: usize = 128;

/// Groups under way at once: while Redis works on one, the answers of another are read and the next one comes together.
const FLIGHTS: usize = 2;

/// What bounds the queue, and how Redis is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// What all keys of this installation begin with.
    pub prefix: String,
    /// Connections of the workers.
    pub pool_size: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// Writes that may be waiting, leased and delayed.
    pub queue_depth: usize,
    /// Dead letters that may be kept.
    pub dead_letters: usize,
}

/// The queue on Redis.
pub struct RedisQueue {
    redis: Arc<Redis>,
    accepts: Gather<Draft, Acceptance>,
    newest: Gather<MessageKey, Option<Message>>,
}

impl RedisQueue {
    /// Prepares the queue; Redis is reached when first needed. `ledger` answers what Redis may have lost.
    pub fn new(url: &Url, settings: RedisSettings, ledger: Arc<dyn Ledger>) -> Result<Self> {
        let redis = Arc::new(Redis {
            connections: Connections::new(url, settings.pool_size, settings.timeout)?,
            scripts: Scripts::new(),
            ledger,
            prefix: settings.prefix,
            queue_depth: settings.queue_depth,
            dead_letters: settings.dead_letters,
            beginning: Mutex::new(()),
        });
        let (accepting, looking) = (redis.clone(), redis.clone());
        Ok(Self {
            redis,
            accepts: Gather::new("Redis", GROUP, FLIGHTS, move |group| {
                let redis = accepting.clone();
                async move { Ok(redis.accept_all(&group).await) }
            }),
            newest: Gather::new("Redis", GROUP, FLIGHTS, move |group| {
                let redis = looking.clone();
                async move { redis.newest(&group).await }
            }),
        })
    }
}

/// Redis, with what every call to it needs.
struct Redis {
    connections: Connections,
    scripts: Scripts,
    ledger: Arc<dyn Ledger>,
    prefix: String,
    queue_depth: usize,
    dead_letters: usize,
    /// Held while this process begins an epoch, so that its requests do not all go and do so.
    beginning: Mutex<()>,
}

fn read_id(id: &str) -> Result<Revision> {
    Revision::parse(id).ok_or_else(|| failed(format!("{id:?} is no job id")))
}

fn read_entry(id: &str, payload: &str) -> Result<Entry> {
    payload::read(read_id(id)?, payload).map_err(failed)
}

fn failed(detail: impl ToString) -> Error {
    Error::Failed {
        store: "Redis",
        detail: detail.to_string(),
    }
}
