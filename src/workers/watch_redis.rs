//! Checks that all processes use the same Redis server as master. Every process does so.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::stores::{Result, Services};

/// Interval of the checks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Worker that watches Redis.
pub struct WatchRedis(Arc<Services>);

impl WatchRedis {
    /// Creates the worker.
    pub fn new(_: &Context, services: &Arc<Services>) -> Self {
        Self(services.clone())
    }
}

#[async_trait]
impl Worker for WatchRedis {
    fn name(&self) -> &'static str {
        "watch_redis"
    }

    fn wakeup(&self) -> Option<&Notify> {
        None
    }

    fn poll_interval(&self) -> Duration {
        INTERVAL
    }

    async fn step(&mut self) -> Result<Step> {
        self.0.redis.watch_master().await?;
        Ok(Step::Idle)
    }
}
