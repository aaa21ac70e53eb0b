//! What a Prometheus scrape gets: what was measured as it happened, and beside it how the stores and workers stand now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use crate::{
    service::{Service, figures::Figures},
    telemetry::logging,
    telemetry::metrics,
    telemetry::worker_status::Health,
};

/// How often the stores are asked at most, however many scrape.
const FRESH: Duration = Duration::from_secs(1);

/// Answers scrapes.
pub struct Scrape {
    service: Arc<Service>,
    health: Arc<Health>,
    /// When the stores were asked last; held while they are, so that those who come meanwhile wait for the same answer.
    asked: Mutex<Option<Instant>>,
}

impl Scrape {
    /// Of this process.
    pub fn new(service: Arc<Service>, health: Arc<Health>) -> Self {
        Self {
            service,
            health,
            asked: Mutex::new(None),
        }
    }

    /// The whole answer, in Prometheus's text format, version 0.0.4.
    pub async fn text(&self) -> String {
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= FRESH) {
            set(&self.service.figures().await);
            *asked = Some(Instant::now());
        }
        drop(asked);
        for worker in self.health.workers() {
            let (restarts, stalled) = metrics::worker(worker.name);
            restarts.absolute(worker.restarts);
            stalled.set(worker.stalled.unwrap_or_default());
        }
        metrics::log_dropped().absolute(logging::dropped_lines());
        metrics::render()
    }
}

/// What a store did not tell stays as it was: `confab_store_up` says that it is old.
fn set(figures: &Figures) {
    for store in &figures.stores {
        let up = if store.error.is_none() { 1.0 } else { 0.0 };
        metrics::store_up(store.name).set(up);
    }
    for stats in figures.kinds.iter().flatten() {
        let queue = metrics::Queue::new(stats.kind);
        for (gauge, jobs) in [
            (queue.waiting, stats.waiting),
            (queue.leased, stats.leased),
            (queue.delayed, stats.delayed),
            (queue.dead, stats.dead),
            (queue.paused, u64::from(stats.paused)),
        ] {
            gauge.set(jobs as f64);
        }
        queue.oldest.set(Duration::from_millis(stats.oldest_ms));
    }
    if let Some(lag) = figures.lag {
        let (messages, seconds) = metrics::index_lag();
        messages.set(lag.messages as f64);
        seconds.set(lag.oldest);
    }
}
