//! The queue in Redis: lists of accepted writes, and beside them the counters and what is not stored yet.
//!
//! Every step is one Lua script; `lua/common.lua` describes the keys.

mod applications;
mod call;
mod changes;
mod connection;
mod counter;
mod diagnose;
mod enqueue;
mod epoch;
mod erase;
mod eviction;
mod fact;
mod job_admin;
mod jobs;
mod masters;
mod pending;
mod scripts;
mod server;

use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use url::Url;

pub use self::{
    applications::ChatCount,
    changes::QueuedChanges,
    counter::{Counter, CounterKey},
    enqueue::{EncodedWrite, Limits, Offered},
    erase::{ErasedJobs, JobScan},
    eviction::Evicted,
    fact::{Fact, Stamp, Stored, StoredCounter, Subject},
    pending::Queued,
};
use self::{connection::Connections, masters::Watch, scripts::EpochScripts};
use super::{
    mysql::Mysql,
    tls::{Tls, TlsFiles},
};
use crate::{
    domain::{Change, Kind, Revision, time::Clock},
    stores::{Error, Result, payload},
};

/// Prefix of the settings of this store.
const SETTINGS: &str = "services.redis";

/// Bounds of the queue, and how Redis is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Prefix of all keys of this installation.
    pub prefix: String,
    /// Connections of the workers.
    pub pool_size: usize,
    /// Time limit of a call.
    pub timeout: Duration,
    /// Writes that may be waiting, leased and delayed.
    pub queue_depth: usize,
    /// Dead letters that may be kept.
    pub dead_letters: usize,
    /// Clock of leases, retries and dates. Its offset is added to the time of the Redis server.
    pub clock: Clock,
    /// Time after which an unused counter is evicted.
    pub idle: Duration,
}

/// The queue.
pub struct Redis {
    connections: Connections,
    /// The scripts of the current epoch; `None` if this process does not know it.
    scripts: RwLock<Option<Arc<EpochScripts>>>,
    /// Keeps the epoch, and what Redis may have lost.
    mysql: Arc<Mysql>,
    settings: RedisSettings,
    /// Lock of the search for the current epoch, and of the start of a new one, within this process.
    settling: Mutex<()>,
    /// ID of this process in its reports.
    process: u128,
    watch: Mutex<Watch>,
    /// Kinds and tokens of claims that got no response.
    unanswered: std::sync::Mutex<Vec<(Kind, String)>>,
    /// Stamp of the last offer, and when it was received.
    last_stamp: std::sync::Mutex<Option<(Stamp, Instant)>>,
}

impl Redis {
    /// Prepares the queue; Redis is reached when first needed.
    ///
    /// # Errors
    ///
    /// A URL that leads to no Redis, and files that cannot be used.
    pub fn new(
        url: &Url,
        files: &TlsFiles,
        settings: RedisSettings,
        mysql: Arc<Mysql>,
    ) -> Result<Self> {
        let tls = Tls::read(connection::STORE, SETTINGS, files)?;
        Ok(Self {
            connections: Connections::new(url, &tls, settings.pool_size, settings.timeout)?,
            scripts: RwLock::default(),
            mysql,
            settings,
            settling: Mutex::default(),
            process: rand::random(),
            watch: Mutex::default(),
            unanswered: std::sync::Mutex::default(),
            last_stamp: std::sync::Mutex::default(),
        })
    }
}

fn read_id(id: &str) -> Result<Revision> {
    Revision::parse(id).ok_or_else(|| failed(format!("{id:?} is no job id")))
}

fn read_number(number: &str) -> Result<u64> {
    let read = number.parse();
    read.map_err(|_| failed(format!("{number:?} is no number")))
}

fn read_change(id: &str, payload: &str) -> Result<Change> {
    payload::read(read_id(id)?, payload).map_err(failed)
}

fn failed(detail: impl ToString) -> Error {
    Error::Failed {
        store: "Redis",
        detail: detail.to_string(),
    }
}
