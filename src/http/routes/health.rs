//! Routes for operators: liveness and readiness.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{service::Service, telemetry::worker_status::ProcessStatus};

/// Check liveness
///
/// The state of the stores is not checked.
#[utoipa::path(
    get, path = "/up", operation_id = "up", tag = "Operation",
    responses((status = 200, description = "The process is alive. The body is empty.")),
)]
pub async fn up() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Readiness, and the state of stores and workers.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "ready",
    "stores": [{"name": "queue", "latency_ms": 0.21}],
    "workers": [{"name": "create_message", "latency_ms": 4.2, "restarts": 0}],
}))]
struct Readiness {
    status: Status,
    stores: Vec<Store>,
    workers: Vec<Worker>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ready,
    /// Search is unavailable; everything else works.
    Degraded,
    /// Writes fail, or accepted writes are not stored.
    Unavailable,
    /// The process is shutting down.
    Ending,
}

/// A store.
#[derive(Serialize, ToSchema)]
struct Store {
    /// Purpose: `queue`, `records` or `search`.
    name: &'static str,
    /// Duration of the probe, in milliseconds.
    latency_ms: f64,
    /// Error of the store, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// A worker's loop.
#[derive(Serialize, ToSchema)]
struct Worker {
    /// Its name.
    name: &'static str,
    /// Duration of its last step, in milliseconds.
    latency_ms: f64,
    /// Number of restarts.
    restarts: u64,
    /// Duration of the current step, in milliseconds, if it exceeds its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, required = false)]
    stalled_ms: Option<u128>,
    /// Error of its last step, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// Check readiness
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "Operation",
    responses(
        (status = 200, description = "Ready; `degraded` means that search is unavailable.", body = Readiness),
        (status = 503, description = "Not ready; the body has the reasons.", body = Readiness, example = json!({
            "status": "unavailable",
            "stores": [{"name": "queue", "latency_ms": 3000.1, "error": "Redis is unavailable: no response within 3s"}],
            "workers": [{"name": "create_message", "latency_ms": 4.2, "restarts": 0}],
        })),
    ),
)]
pub async fn ready(service: Data<Service>, process: Data<ProcessStatus>) -> HttpResponse {
    let stores = service.stores().await;
    let workers = process.workers();
    let write_fails = stores
        .iter()
        .any(|store| store.needed && store.error.is_some());
    let status = if process.is_ending() {
        Status::Ending
    } else if write_fails || workers.iter().any(|worker| worker.stalled.is_some()) {
        Status::Unavailable
    } else if stores.iter().any(|store| store.error.is_some()) {
        Status::Degraded
    } else {
        Status::Ready
    };
    let mut response = match status {
        Status::Ready | Status::Degraded => HttpResponse::Ok(),
        Status::Unavailable | Status::Ending => HttpResponse::ServiceUnavailable(),
    };
    response.json(Readiness {
        status,
        stores: stores
            .into_iter()
            .map(|store| Store {
                name: store.name,
                latency_ms: store.latency.as_micros() as f64 / 1000.0,
                error: store.error.map(|error| error.to_string()),
            })
            .collect(),
        workers: workers
            .into_iter()
            .map(|worker| Worker {
                name: worker.name,
                latency_ms: worker.latency.as_micros() as f64 / 1000.0,
                restarts: worker.restarts,
                stalled_ms: worker.stalled.map(|time| time.as_millis()),
                error: worker.error,
            })
            .collect(),
    })
}
