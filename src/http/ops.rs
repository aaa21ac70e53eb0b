//! Routes for operators.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;

use crate::{health::Health, service::Service};

/// The process is alive; nothing is said of its stores.
pub async fn up() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Whether requests should be sent here, and what is wrong.
#[derive(Serialize)]
struct Readiness {
    status: Status,
    stores: Vec<Store>,
    workers: Vec<Worker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ready,
    /// Search is out of reach; all else is well.
    Degraded,
    /// A creation would be refused, or what is accepted would not be stored.
    Unavailable,
    /// The process is about to end.
    Ending,
}

#[derive(Serialize)]
struct Store {
    name: &'static str,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Worker {
    name: &'static str,
    restarts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stalled_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// 200 if requests should be sent here, 503 if not.
pub async fn ready(service: Data<Service>, health: Data<Health>) -> HttpResponse {
    let stores = service.stores().await;
    let workers = health.workers();
    let of_stores = stores
        .iter()
        .filter(|store| store.error.is_some())
        .map(|store| match store.needed {
            true => Status::Unavailable,
            false => Status::Degraded,
        });
    let of_workers = workers
        .iter()
        .filter(|worker| worker.stalled.is_some())
        .map(|_| Status::Unavailable);
    let of_process = health.is_ending().then_some(Status::Ending);
    let status = of_stores.chain(of_workers).chain(of_process).max();
    let status = status.unwrap_or(Status::Ready);
    let mut response = if status <= Status::Degraded {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(Readiness {
        status,
        stores: stores
            .into_iter()
            .map(|store| Store {
                name: store.name,
                latency_ms: store.latency.as_secs_f64() * 1000.0,
                error: store.error.map(|error| error.to_string()),
            })
            .collect(),
        workers: workers
            .into_iter()
            .map(|worker| Worker {
                name: worker.name,
                restarts: worker.restarts,
                stalled_ms: worker.stalled.map(|time| time.as_millis()),
                error: worker.error,
            })
            .collect(),
    })
}
