//! Recovers jobs of crashed claimers. Every process does so: one that is alive is enough.

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

/// Worker that recovers jobs.
pub struct Recover(Context);

impl Recover {
    /// Creates the worker.
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

    /// A tenth of the lease time, so that jobs are recovered soon after their lease expired.
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
                jobs,
                dead,
                "Recovered jobs of a crashed claimer; `dead` of them became dead letters"
            );
        }
        Ok(Step::Idle)
    }
}
