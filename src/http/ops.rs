//! Routes for operators.

use actix_web::HttpResponse;

/// The process is alive; nothing is said of its stores.
pub async fn up() -> HttpResponse {
    HttpResponse::Ok().finish()
}
