//! Takes back what dead claimers held. Every process does, so it needs only one that lives.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tracing::warn;

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::{
    stores::{Recovered, Result},
    telemetry::metrics::JobMetrics,
};

/// See the module.
pub struct Recover(Context);

impl Recover {
    /// Begins with nothing in hand.
    pub fn new(context: &Context) -> Self {
        Self(context.clone())
    }
}

#[async_trait]
impl Worker for Recover {
    fn name(&self) -> &'static str {
        "recover"
    }

    fn wakeup(&self) -> Option<&Notify> {
        None
    }

    /// A tenth of the lease: what a dead claimer held is taken back soon after its lease is over.
    fn poll_interval(&self) -> Duration {
        self.0.settings.lease / 10
    }

    async fn step(&mut self) -> Result<Step> {
        for Recovered { kind, jobs, dead } in self.0.backend.recover().await? {
            let counts = JobMetrics::new(kind.name());
            counts.recovered.increment(jobs as u64);
            counts.dead.increment(dead as u64);
            warn!(
                kind = kind.name(),
                jobs, dead, "took back jobs whose claimer had died; the dead are dead letters now"
            );
        }
        Ok(Step::Idle)
    }
}
