//! The services backend: rows in MySQL, the queue in Redis, search in Elasticsearch.
//!
//! Operations on one store are methods of that store. Operations on several are here, in one file per role. Redis uses
//! MySQL; no other store uses another one.

mod applications;
mod changes;
mod discard;
pub mod elasticsearch;
mod enqueue;
mod erase;
mod facts;
mod index_feed;
pub mod mysql;
mod orphans;
mod reader;
pub mod redis;
mod retention;
mod tls;

use std::sync::Arc;

use self::{
    elasticsearch::SearchIndex,
    facts::Facts,
    mysql::{Installation, Mysql},
    redis::{EncodedWrite, Offered, Queued, Redis},
};
pub use self::{
    index_feed::{IndexLag, Outbox},
    tls::TlsFiles,
};
use super::{Check, Followers, Result, Wakeups, check::bounded, coalescer::Coalescer};
use crate::domain::{Message, MessageKey, Revision};

/// Maximum number of writes in one script: it blocks Redis for about a millisecond.
const GROUP: usize = 128;

/// Groups in flight at once: while Redis works on one, the responses of another are read and the next one fills.
const IN_FLIGHT: usize = 2;

/// The same for reads of messages. With one, groups are larger: with 64 connections, a read costs confab, Redis and MySQL
/// together 6 % less CPU than with two, and no more time.
const IN_FLIGHT_READS: usize = 1;

/// The same for creations with an idempotency key. With one, groups are larger: with 32 connections, look-ups in one group at a
/// time cost confab and MySQL a quarter and two fifths less CPU than in four.
const IN_FLIGHT_WITH_KEYS: usize = 1;

/// MySQL, Redis and Elasticsearch.
pub struct Services {
    /// Notifications that end the waits of this process's workers.
    pub wakeups: Wakeups,
    /// Followers of applications in this process.
    pub followers: Arc<Followers>,
    /// The rows.
    pub mysql: Arc<Mysql>,
    /// The queue.
    pub redis: Arc<Redis>,
    /// The search index.
    pub elasticsearch: SearchIndex,
    offer: Coalescer<EncodedWrite, Offered>,
    offer_with_key: Coalescer<EncodedWrite, Offered>,
    facts: Facts,
    newest: Coalescer<MessageKey, Queued<Option<Message>>>,
}

impl Services {
    /// Joins the three stores; each is reached when first needed.
    pub fn new(mysql: Arc<Mysql>, redis: Redis, elasticsearch: SearchIndex) -> Self {
        let redis = Arc::new(redis);
        let (writer, reader) = (redis.clone(), redis.clone());
        Self {
            wakeups: Wakeups::default(),
            followers: Arc::default(),
            offer: Coalescer::new("Redis", GROUP, IN_FLIGHT, move |group| {
                let redis = writer.clone();
                async move { enqueue::offer_group(&redis, &group).await }
            }),
            offer_with_key: Coalescer::new("Redis", GROUP, IN_FLIGHT_WITH_KEYS, {
                let (redis, mysql) = (redis.clone(), mysql.clone());
                move |group| {
                    let (redis, mysql) = (redis.clone(), mysql.clone());
                    async move { enqueue::offer_group_with_keys(&redis, &mysql, group).await }
                }
            }),
            facts: Facts::new(redis.clone(), mysql.clone()),
            newest: Coalescer::new("Redis", GROUP, IN_FLIGHT_READS, move |group| {
                let redis = reader.clone();
                async move { redis.newest(&group).await }
            }),
            mysql,
            redis,
            elasticsearch,
        }
    }

    pub(crate) async fn diagnose(&self, batch_bytes: usize) -> Vec<Check> {
        let (rows, jobs, index) = tokio::join!(
            bounded("rows", self.mysql.diagnose(batch_bytes)),
            bounded("jobs", self.redis.diagnose()),
            bounded("search index", self.elasticsearch.diagnose()),
        );
        [rows, jobs, index].concat()
    }

    pub(crate) async fn begin_build(&self) -> Result<String> {
        let installation = self.installation().await?;
        let target = self.elasticsearch.create(&installation).await?;
        self.mysql.begin_build(&target).await?;
        Ok(target)
    }

    pub(crate) async fn finish_build(&self, target: &str) -> Result<()> {
        let installation = self.installation().await?;
        self.elasticsearch.swap(target, &installation).await?;
        self.mysql.end_build(target).await
    }

    /// Returns the ID by which indices are known as this installation's. Marks those of older programs once.
    async fn installation(&self) -> Result<String> {
        let Installation {
            name,
            indices_adopted,
        } = self.mysql.installation().await?;
        if !indices_adopted {
            self.elasticsearch.adopt(&name).await?;
            self.mysql.end_adoption().await?;
        }
        Ok(name)
    }

    /// If this fails half way, the reconciler finds the revision again.
    pub async fn set_back(&self, seen: Revision) -> Result<()> {
        self.redis.raise_revisions(seen).await?;
        self.mysql.want_build().await
    }
}
