//! Readiness of the process, as load balancers and operators see it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::{
    stores::{Backend, Probe},
    telemetry::worker_status::{ProcessStatus, WorkerStatus},
};

/// Time for which the result of a probe is used, however many clients ask.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Readiness of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ReadinessStatus)]
pub enum Status {
    /// Everything works.
    Ready,
    /// Search is unavailable; everything else works.
    Degraded,
    /// Writes fail, or accepted writes are not stored.
    Unavailable,
    /// The process is shutting down.
    Ending,
}

impl Status {
    /// Tells whether a load balancer should send requests to this process.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }
}

/// State of the stores and workers.
pub struct Report {
    /// Readiness that results from the stores and workers.
    pub status: Status,
    /// Result of each store's last probe.
    pub stores: [Probe; 3],
    /// Status of each worker.
    pub workers: Vec<WorkerStatus>,
    /// Faults that an operator must know of although requests succeed, such as rows that the database lost.
    pub alarms: Vec<String>,
}

/// Time and result of the last probe.
type LastProbe = Option<(Instant, [Probe; 3])>;

/// Probes of the stores, shared by all clients that ask for readiness.
pub struct Readiness {
    backend: Backend,
    process: Arc<ProcessStatus>,
    /// Locked during a probe, so that concurrent requests share it.
    last: Arc<Mutex<LastProbe>>,
}

impl Readiness {
    /// Creates the probes of this process.
    pub fn new(backend: Backend, process: Arc<ProcessStatus>) -> Self {
        Self {
            backend,
            process,
            last: Arc::default(),
        }
    }

    /// Returns the state of the workers now, and of the stores at most a second ago.
    pub async fn report(&self) -> Report {
        let stores = self.stores().await;
        let workers = self.process.workers();
        let write_fails = stores
            .iter()
            .any(|store| store.needed && store.error.is_some());
        let status = if self.process.is_ending() {
            Status::Ending
        } else if write_fails || workers.iter().any(|worker| worker.stalled.is_some()) {
            Status::Unavailable
        } else if stores.iter().any(|store| store.error.is_some()) {
            Status::Degraded
        } else {
            Status::Ready
        };
        Report {
            status,
            stores,
            workers,
            alarms: self.process.alarms(),
        }
    }

    async fn stores(&self) -> [Probe; 3] {
        let mut last = self.last.clone().lock_owned().await;
        if let Some((at, probes)) = &*last
            && at.elapsed() < MAX_AGE
        {
            return probes.clone();
        }
        let backend = self.backend.clone();
        // A task of its own: a client that disconnects must not end a probe that others then start again.
        let probing = tokio::spawn(async move {
            let probes = backend.probe().await;
            *last = Some((Instant::now(), probes.clone()));
            probes
        });
        match probing.await {
            Ok(probes) => probes,
            // The task panicked; the lock is free.
            Err(_) => self.backend.probe().await,
        }
    }
}
