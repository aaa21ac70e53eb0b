//! Evicts counters from Redis that were not used for a while.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::{
    stores::{Result, Services},
    telemetry::metrics,
};

/// Worker that evicts idle counters. All processes share the work.
pub struct EvictIdle {
    services: Arc<Services>,
    /// Time until the next call.
    wait: Duration,
}

impl EvictIdle {
    /// Creates the worker.
    pub fn new(_: &Context, services: &Arc<Services>) -> Self {
        Self {
            services: services.clone(),
            wait: Duration::ZERO,
        }
    }
}

#[async_trait]
impl Worker for EvictIdle {
    fn name(&self) -> &'static str {
        "evict_idle"
    }

    fn wakeup(&self) -> Option<&Notify> {
        None
    }

    fn poll_interval(&self) -> Duration {
        self.wait
    }

    async fn step(&mut self) -> Result<Step> {
        let evicted = self.services.redis.evict_idle().await?;
        metrics::evicted_counters().increment(evicted.counters);
        self.services.verify(&evicted.unverified).await?;
        self.wait = evicted.wait;
        Ok(Step::Idle)
    }
}
