//! What Prometheus scrapes.

use actix_web::{HttpResponse, web::Data};

use super::Desk;

/// `GET /metrics`
pub async fn metrics(desk: Data<Desk>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(desk.scrape.text().await)
}
