//! Routes for operators: liveness and readiness.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::readiness::Status;

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

/// Readiness. The admin listener has the details.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "ready",
    "stores": [
        {"name": "queue", "status": "ready"},
        {"name": "records", "status": "ready"},
        {"name": "search", "status": "ready"},
    ],
}))]
struct Readiness {
    status: Status,
    stores: Vec<Store>,
}

/// A store.
#[derive(Serialize, ToSchema)]
struct Store {
    /// Purpose: `queue`, `records` or `search`.
    name: &'static str,
    status: StoreStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StoreStatus {
    Ready,
    Unavailable,
}

/// Check readiness
///
/// The result is up to a second old. `GET /readyz` on the admin listener also has the errors of stores, and the workers.
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "Operation",
    responses(
        (status = 200, description = "Ready; `degraded` means that search is unavailable.", body = Readiness),
        (status = 503, description = "Not ready.", body = Readiness, example = json!({
            "status": "unavailable",
            "stores": [
                {"name": "queue", "status": "unavailable"},
                {"name": "records", "status": "ready"},
                {"name": "search", "status": "ready"},
            ],
        })),
    ),
)]
pub async fn ready(readiness: Data<crate::readiness::Readiness>) -> HttpResponse {
    let report = readiness.report().await;
    let mut response = match report.status.is_ready() {
        true => HttpResponse::Ok(),
        false => HttpResponse::ServiceUnavailable(),
    };
    let stores = report.stores.into_iter().map(|store| Store {
        name: store.name,
        status: match store.error {
            None => StoreStatus::Ready,
            Some(_) => StoreStatus::Unavailable,
        },
    });
    response.json(Readiness {
        status: report.status,
        stores: stores.collect(),
    })
}
