//! Prometheus scrape: metrics recorded as they happen, and the current state of stores and workers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, web::Data};
use tokio::sync::Mutex;

use super::AdminState;

use crate::{
    maintenance::{Maintenance, Snapshot},
    telemetry::{logging, metrics, worker_status::ProcessStatus},
};

/// Minimum time between two queries of the stores, however many clients scrape.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Collects the metrics that are read from stores and workers when Prometheus scrapes.
pub struct Collector {
    maintenance: Maintenance,
    process: Arc<ProcessStatus>,
    /// Time of the last query of the stores. Locked during a query, so that concurrent scrapes share the result.
    refreshed: Mutex<Option<Instant>>,
}

impl Collector {
    /// Metrics of this process.
    pub fn new(maintenance: Maintenance, process: Arc<ProcessStatus>) -> Self {
        Self {
            maintenance,
            process,
            refreshed: Mutex::new(None),
        }
    }

    /// The whole answer, in Prometheus's text format, version 0.0.4.
    pub async fn text(&self) -> String {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_none_or(|at| at.elapsed() >= MIN_INTERVAL) {
            set(&self.maintenance.snapshot().await);
            *refreshed = Some(Instant::now());
        }
        drop(refreshed);
        for worker in self.process.workers() {
            let (restarts, stalled) = metrics::worker(worker.name);
            restarts.absolute(worker.restarts);
            stalled.set(worker.stalled.unwrap_or_default());
        }
        metrics::log_dropped().absolute(logging::dropped_lines());
        metrics::render()
    }
}

/// Sets the gauges. A store that did not respond keeps its old values: see `confab_store_up`.
fn set(snapshot: &Snapshot) {
    for store in &snapshot.stores {
        let up = if store.error.is_none() { 1.0 } else { 0.0 };
        metrics::store_up(store.name).set(up);
    }
    for stats in snapshot.kinds.iter().flatten() {
        let counts = [stats.waiting, stats.leased, stats.delayed, stats.dead];
        let [waiting, leased, delayed, dead] = counts.map(|jobs| jobs as f64);
        let oldest = Duration::from_millis(stats.oldest_ms).as_secs_f64();
        let paused = f64::from(u8::from(stats.paused));
        metrics::set_queue(stats.kind, [waiting, leased, delayed, dead, oldest, paused]);
    }
    if let Some(lag) = snapshot.lag {
        metrics::set_index_lag(lag.messages, lag.oldest);
    }
}

/// `GET /metrics`
pub async fn metrics(state: Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(state.collector.text().await)
}
