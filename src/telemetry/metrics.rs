//! What is measured, for Prometheus: each metric's name with what it means, and the text that a scrape gets.
//!
//! Who counts often keeps the handle that a function here gives: recording by it is an atomic operation, looking it up
//! by its labels is not. What is read from stores, is read at the scrape: `scrape`.

use std::{sync::OnceLock, time::Duration};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

/// Upper bounds of the buckets of times, in seconds: from a call in memory to a store's time limit.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds of the buckets of batch sizes, in jobs.
const JOBS: [f64; 11] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0,
];

/// How often what was recorded is put into its buckets; until then each value is kept.
const UPKEEP: Duration = Duration::from_secs(1);

const REQUEST_DURATION: &str = "confab_http_request_duration_seconds";
const STORE_CALL_DURATION: &str = "confab_store_call_duration_seconds";
const STORE_ERRORS: &str = "confab_store_errors_total";
const STORE_UP: &str = "confab_store_up";
const WAITING: &str = "confab_jobs_waiting";
const LEASED: &str = "confab_jobs_leased";
const DELAYED: &str = "confab_jobs_delayed";
const DEAD: &str = "confab_jobs_dead";
const OLDEST: &str = "confab_jobs_oldest_seconds";
const PAUSED: &str = "confab_jobs_paused";
const DONE_TOTAL: &str = "confab_jobs_done_total";
const FAILED_TOTAL: &str = "confab_jobs_failed_total";
const RETRIED_TOTAL: &str = "confab_jobs_retried_total";
const DEAD_TOTAL: &str = "confab_jobs_dead_total";
const RECOVERED_TOTAL: &str = "confab_jobs_recovered_total";
const BATCH_SIZE: &str = "confab_batch_size";
const INDEX_LAG_MESSAGES: &str = "confab_index_lag_messages";
const INDEX_LAG_SECONDS: &str = "confab_index_lag_seconds";
const DRIFT: &str = "confab_drift_found_total";
const WORKER_RESTARTS: &str = "confab_worker_restarts_total";
const WORKER_STALLED: &str = "confab_worker_stalled_seconds";
const LOG_DROPPED: &str = "confab_log_lines_dropped_total";
const BUILD_INFO: &str = "confab_build_info";

static RENDERER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to measure; what is recorded by handles that were given before is lost. A second call changes nothing.
pub fn start() {
    let times = Matcher::Suffix("_seconds".into());
    let sizes = Matcher::Full(BATCH_SIZE.into());
    let built = PrometheusBuilder::new()
        .set_buckets_for_metric(times, &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(sizes, &JOBS));
    // Only a list of no buckets is refused.
    let Ok(builder) = built else {
        return;
    };
    let recorder = builder.build_recorder();
    let renderer = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        describe();
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let _ = RENDERER.set(renderer);
    }
}

/// Puts what was recorded into its buckets, as long as it is polled: what is recorded must not pile up where nobody
/// scrapes.
pub async fn keep_up() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(renderer) = RENDERER.get() {
            renderer.run_upkeep();
        }
    }
}

/// All that was measured, and what the system says of this process, in Prometheus's text format.
pub fn render() -> String {
    static PROCESS: OnceLock<Collector> = OnceLock::new();
    let describe = || {
        let process = Collector::default();
        process.describe();
        process
    };
    PROCESS.get_or_init(describe).collect();
    let rendered = RENDERER.get().map(PrometheusHandle::render);
    rendered.unwrap_or_default()
}

/// Time to answer a request, of those with this route, method and status.
pub fn request_duration(route: &str, method: &'static str, status: u16) -> Histogram {
    let (route, status) = (route.to_owned(), status.to_string());
    histogram!(REQUEST_DURATION, "route" => route, "method" => method, "status" => status)
}

/// Time of a call to a store.
pub fn store_call(store: &'static str, call: &'static str) -> Histogram {
    histogram!(STORE_CALL_DURATION, "store" => store, "call" => call)
}

/// Calls to a store that failed.
pub fn store_errors(store: &'static str) -> Counter {
    let errors = counter!(STORE_ERRORS, "store" => store);
    errors.increment(0);
    errors
}

/// Whether a store answered when it was asked last, and would take a write.
pub fn store_up(store: &'static str) -> Gauge {
    gauge!(STORE_UP, "store" => store)
}

/// What a worker makes of the jobs of its kind.
pub struct Jobs {
    /// Stored.
    pub done: Counter,
    /// Failed by their own fault, each time.
    pub failed: Counter,
    /// Failed, and are to be tried again.
    pub retried: Counter,
    /// Became dead letters.
    pub dead: Counter,
    /// Taken back from dead claimers.
    pub recovered: Counter,
    /// Claimed together.
    pub batch_size: Histogram,
}

impl Jobs {
    /// Those of a kind.
    pub fn new(kind: &'static str) -> Self {
        let total = |name: &'static str| {
            let counter = counter!(name, "kind" => kind);
            counter.increment(0);
            counter
        };
        Self {
            done: total(DONE_TOTAL),
            failed: total(FAILED_TOTAL),
            retried: total(RETRIED_TOTAL),
            dead: total(DEAD_TOTAL),
            recovered: total(RECOVERED_TOTAL),
            batch_size: histogram!(BATCH_SIZE, "kind" => kind),
        }
    }
}

/// How the queue of one kind of job stands.
pub struct Queue {
    /// Not claimed yet.
    pub waiting: Gauge,
    /// In a worker's hands.
    pub leased: Gauge,
    /// To be tried again later.
    pub delayed: Gauge,
    /// Dead letters.
    pub dead: Gauge,
    /// Age of the oldest that waits.
    pub oldest: Gauge,
    /// 1 if an operator has paused it.
    pub paused: Gauge,
}

impl Queue {
    /// That of a kind.
    pub fn new(kind: &'static str) -> Self {
        let figure = |name: &'static str| gauge!(name, "kind" => kind);
        Self {
            waiting: figure(WAITING),
            leased: figure(LEASED),
            delayed: figure(DELAYED),
            dead: figure(DEAD),
            oldest: figure(OLDEST),
            paused: figure(PAUSED),
        }
    }
}

/// How far the search index is behind: messages it has not been told of, and since when in seconds.
pub fn index_lag() -> (Gauge, Gauge) {
    (gauge!(INDEX_LAG_MESSAGES), gauge!(INDEX_LAG_SECONDS))
}

/// What the clean job found.
pub fn drift(what: &'static str) -> Counter {
    let found = counter!(DRIFT, "what" => what);
    found.increment(0);
    found
}

/// How often a worker's loop died and was started again, and for how long it has stood still.
pub fn worker(name: &'static str) -> (Counter, Gauge) {
    (
        counter!(WORKER_RESTARTS, "worker" => name),
        gauge!(WORKER_STALLED, "worker" => name),
    )
}

/// Lines of the log that were dropped.
pub fn log_dropped() -> Counter {
    counter!(LOG_DROPPED)
}

fn describe() {
    for (name, help) in [
        (
            REQUEST_DURATION,
            "Time to answer requests, by the route's template.",
        ),
        (STORE_CALL_DURATION, "Time of calls to the stores."),
        (BATCH_SIZE, "Jobs that were claimed together."),
    ] {
        describe_histogram!(name, help);
    }
    for (name, help) in [
        (
            STORE_UP,
            "1 if the store answered at this scrape, and would take a write.",
        ),
        (WAITING, "Accepted jobs that no worker has claimed."),
        (LEASED, "Jobs in a worker's hands."),
        (DELAYED, "Jobs that failed and are to be tried again."),
        (DEAD, "Dead letters: jobs that failed for good."),
        (OLDEST, "Age of the oldest job that waits."),
        (PAUSED, "1 if an operator has paused the kind."),
        (
            INDEX_LAG_MESSAGES,
            "Stored messages that the search index has not been told of.",
        ),
        (
            INDEX_LAG_SECONDS,
            "How long the oldest of them has been stored.",
        ),
        (
            WORKER_STALLED,
            "How long a worker has stood still at one step, beyond workers.stall_ms; else 0.",
        ),
        (BUILD_INFO, "1; the labels say which program this is."),
    ] {
        describe_gauge!(name, help);
    }
    for (name, help) in [
        (
            STORE_ERRORS,
            "Calls to the stores that failed, or got no answer.",
        ),
        (DONE_TOTAL, "Jobs that were stored."),
        (FAILED_TOTAL, "Times that a job failed by its own fault."),
        (
            RETRIED_TOTAL,
            "Times that a job failed and was put off to be tried again.",
        ),
        (DEAD_TOTAL, "Jobs that became dead letters."),
        (RECOVERED_TOTAL, "Jobs taken back from claimers that died."),
        (DRIFT, "What the clean job found to differ, and mends."),
        (
            WORKER_RESTARTS,
            "Times that a worker died and was started again.",
        ),
        (
            LOG_DROPPED,
            "Lines of the log that were dropped, as standard error did not keep up.",
        ),
    ] {
        describe_counter!(name, help);
    }
}
