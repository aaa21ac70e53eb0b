//! Prometheus metrics: names, descriptions and rendering.
//!
//! Frequent callers keep the handle that a function here returns: recording by it is an atomic operation, while a
//! lookup by labels is not. Metrics of stores are read at the scrape, by `admin::collector`.

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

/// Kinds of differences that the reconciler finds.
const DRIFTS: [&str; 9] = [
    "missing_document",
    "stale_document",
    "document_ahead_of_row",
    "dangling_document",
    "document_of_deleted",
    "lost_row",
    "wrong_count",
    "orphaned_application",
    "orphaned_chat",
];

/// Interval of moving recorded values into their buckets; until then each value is kept.
const UPKEEP: Duration = Duration::from_secs(1);

/// Defines each metric by its type, its constant, its name and its description, and how all are described.
macro_rules! metrics {
    ($($type:ident $constant:ident = $name:literal: $description:literal;)+) => {
        $(const $constant: &str = $name;)+

        fn describe() {
            $(pastey::paste!([<describe_ $type>]!($constant, $description));)+
        }
    };
}

metrics! {
    histogram REQUEST_DURATION = "confab_http_request_duration_seconds": "Duration of requests, by the route's template.";
    histogram STORE_CALL_DURATION = "confab_store_call_duration_seconds": "Duration of calls to the stores.";
    counter STORE_ERRORS = "confab_store_errors_total": "Calls to the stores that failed or timed out.";
    gauge STORE_UP = "confab_store_up": "1 if the store responded at this scrape and would accept a write.";
    gauge WAITING = "confab_jobs_waiting": "Accepted jobs that no worker has claimed.";
    gauge LEASED = "confab_jobs_leased": "Jobs claimed by a worker.";
    gauge DELAYED = "confab_jobs_delayed": "Jobs that failed and wait for a retry.";
    gauge DEAD = "confab_jobs_dead": "Dead letters: jobs that failed permanently.";
    gauge OLDEST = "confab_jobs_oldest_seconds": "Age of the oldest waiting job.";
    gauge PAUSED = "confab_jobs_paused": "1 if an operator has paused the kind.";
    counter DONE_TOTAL = "confab_jobs_done_total": "Jobs that were stored.";
    counter FAILED_TOTAL = "confab_jobs_failed_total": "Failures of jobs caused by the job itself.";
    counter RETRIED_TOTAL = "confab_jobs_retried_total": "Failures of jobs after which a retry was scheduled.";
    counter DEAD_TOTAL = "confab_jobs_dead_total": "Jobs that became dead letters.";
    counter RECOVERED_TOTAL = "confab_jobs_recovered_total": "Jobs recovered from crashed claimers.";
    histogram BATCH_SIZE = "confab_batch_size": "Jobs in one claim.";
    gauge INDEX_LAG_MESSAGES = "confab_index_lag_messages": "Stored messages that the search index does not hold yet.";
    gauge INDEX_LAG_SECONDS = "confab_index_lag_seconds": "Age of the oldest stored message that the search index does not hold yet.";
    counter DRIFT = "confab_drift_found_total": "Differences that the reconciler found and repairs.";
    gauge REDIS_MASTERS = "confab_redis_masters": "Redis servers that processes of this installation use as master: more than 1 stops writes.";
    counter EVICTED_COUNTERS = "confab_redis_counters_evicted_total": "Counters of idle chats and applications that were removed from Redis.";
    gauge WAITING_REQUESTS = "confab_waiting_requests": "Requests that wait for changes.";
    counter WORKER_RESTARTS = "confab_worker_restarts_total": "Restarts of workers after a panic.";
    gauge WORKER_STALLED = "confab_worker_stalled_seconds": "Duration of a stalled step, longer than workers.stall_ms; else 0.";
    counter LOG_DROPPED = "confab_log_lines_dropped_total": "Log lines dropped because standard error was too slow.";
    gauge BUILD_INFO = "confab_build_info": "1; the labels are the version.";
}

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
        // Counters are there from the start, so that an alert sees the first increment.
        let stores = ["queue", "records", "search"].map(store_errors);
        for counter in DRIFTS.map(drift).into_iter().chain(stores) {
            counter.increment(0);
        }
        redis_masters().set(0.0);
        waiting_requests().set(0.0);
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let _ = RENDERER.set(renderer);
    }
}

/// Moves recorded values into their buckets until it is dropped, so that they do not pile up without scrapes.
pub async fn keep_up() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(renderer) = RENDERER.get() {
            renderer.run_upkeep();
        }
    }
}

/// Renders all metrics and those of the process, in Prometheus' text format.
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
    counter!(STORE_ERRORS, "store" => store)
}

/// Gauge: 1 if the store responded to the last probe and would accept a write.
pub fn store_up(store: &'static str) -> Gauge {
    gauge!(STORE_UP, "store" => store)
}

/// Counters that were removed from Redis.
pub fn evicted_counters() -> Counter {
    counter!(EVICTED_COUNTERS)
}

/// Gauge: number of Redis servers that processes use as master.
pub fn redis_masters() -> Gauge {
    gauge!(REDIS_MASTERS)
}

/// Gauge: number of requests that wait for changes.
pub fn waiting_requests() -> Gauge {
    gauge!(WAITING_REQUESTS)
}

/// Metrics of one kind of job.
pub struct JobMetrics {
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

impl JobMetrics {
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

/// Sets the gauges of one kind of job: numbers of waiting, leased, delayed and dead jobs, age of the oldest waiting one in
/// seconds, and 1 if the kind is paused.
pub fn set_queue(kind: &'static str, values: [f64; 6]) {
    let gauges = [WAITING, LEASED, DELAYED, DEAD, OLDEST, PAUSED];
    for (name, value) in gauges.into_iter().zip(values) {
        gauge!(name, "kind" => kind).set(value);
    }
}

/// Sets the search index lag: the number of messages not yet indexed, and the age of the oldest.
#[allow(clippy::cast_precision_loss, reason = "a gauge")]
pub fn set_index_lag(messages: u64, oldest: Duration) {
    gauge!(INDEX_LAG_MESSAGES).set(messages as f64);
    gauge!(INDEX_LAG_SECONDS).set(oldest);
}

/// Differences of one kind that the reconciler found. One that is found again before it is repaired counts twice.
pub fn drift(what: &'static str) -> Counter {
    counter!(DRIFT, "what" => what)
}

/// Restarts of a worker's loop, and seconds for which it has been stalled.
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
