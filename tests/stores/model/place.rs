//! Where the queues of the cases are: without the program around them, so that a case is fast.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use confab::{
    domain::{AppId, ChatKey, Number},
    stores::{
        Guard, JobQueue, Ledger, Records as _, Result,
        redis::{RedisQueue, RedisSettings},
        sqlite::{SqliteSettings, SqliteStores},
    },
};

use super::plain::{DEAD_LETTERS, QUEUE_DEPTH};
use crate::support::Site;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A truth in which nothing is stored: a queue that loses nothing asks it for nothing else.
struct NothingStored;

#[async_trait]
impl Ledger for NothingStored {
    async fn raise_epoch(&self, at_least: u64) -> Result<u64> {
        Ok(at_least.max(1))
    }
    async fn epoch(&self) -> Result<u64> {
        Ok(1)
    }
    async fn highest_chat(&self, _: AppId) -> Result<Option<Number>> {
        Ok(None)
    }
    async fn highest_message(&self, _: ChatKey) -> Result<Option<Number>> {
        Ok(None)
    }
    async fn lock(&self, _: &str, _: Duration) -> Result<Option<Box<dyn Guard>>> {
        Ok(Some(Box::new(Held)))
    }
}

struct Held;

#[async_trait]
impl Guard for Held {
    async fn is_held(&mut self) -> bool {
        true
    }
}

/// Where the queues of the cases are.
pub enum Place<'a> {
    Redis { site: &'a Site, prefix: String },
    Sqlite { file: PathBuf },
}

impl Place<'_> {
    /// The queue, in the hands of a new run of the program.
    pub async fn open(&self) -> Arc<dyn JobQueue> {
        match self {
            Place::Redis { site, prefix } => {
                let url = site.services().redis_url.parse().expect("a URL");
                let settings = RedisSettings {
                    prefix: prefix.clone(),
                    pool_size: 1,
                    timeout: TIMEOUT,
                    queue_depth: QUEUE_DEPTH,
                    dead_letters: DEAD_LETTERS,
                };
                let queue = RedisQueue::new(&url, settings, Arc::new(NothingStored));
                Arc::new(queue.expect("a queue"))
            }
            Place::Sqlite { file } => {
                let stores = SqliteStores::new(SqliteSettings {
                    file: file.clone(),
                    timeout: TIMEOUT,
                    queue_depth: QUEUE_DEPTH,
                    dead_letters: DEAD_LETTERS,
                })
                .expect("a store");
                stores.serve_alone().expect("the only one");
                stores.migrate().await.expect("a schema");
                Arc::new(stores)
            }
        }
    }

    /// Removes what the case made.
    pub async fn remove(&self) {
        match self {
            Place::Redis { site, .. } => site.services().remove_keys().await.expect("removed"),
            Place::Sqlite { file } => {
                std::fs::remove_dir_all(file.parent().expect("a folder")).expect("removed");
            }
        }
    }
}
