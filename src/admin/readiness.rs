//! `GET /readyz` with the errors of stores and the state of workers, which are not for everybody.

use actix_web::{HttpResponse, web::Data};
use serde_json::{Value, json};

use super::AdminState;
use crate::readiness::Report;

/// `GET /readyz`
pub async fn show(state: Data<AdminState>) -> HttpResponse {
    let report = state.readiness.report().await;
    let mut response = match report.status.is_ready() {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    response.json(body(&report))
}

/// Optional members are absent, not null.
fn body(report: &Report) -> Value {
    let stores = report.stores.iter().map(|store| {
        let mut entry = json!({
            "name": store.name,
            "latency_ms": store.latency.as_micros() as f64 / 1000.0,
        });
        if let Some(error) = &store.error {
            entry["error"] = error.to_string().into();
        }
        entry
    });
    let workers = report.workers.iter().map(|worker| {
        let mut entry = json!({
            "name": worker.name,
            "latency_ms": worker.latency.as_micros() as f64 / 1000.0,
            "restarts": worker.restarts,
        });
        if let Some(stalled) = worker.stalled {
            entry["stalled_ms"] = (stalled.as_millis() as u64).into();
        }
        if let Some(error) = &worker.error {
            entry["error"] = error.as_str().into();
        }
        entry
    });
    let mut body = json!({
        "status": report.status,
        "stores": stores.collect::<Vec<_>>(),
        "workers": workers.collect::<Vec<_>>(),
    });
    if !report.alarms.is_empty() {
        body["alarms"] = json!(report.alarms);
    }
    body
}
