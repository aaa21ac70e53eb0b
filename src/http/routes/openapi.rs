//! `GET /openapi.json`.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header::ContentType, web};

/// Body of the response, built at the first request: most processes never need it.
pub type Json = LazyLock<web::Bytes, Box<dyn FnOnce() -> web::Bytes + Send>>;

/// Read this description
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "describe", tag = "Operation",
    responses((
        status = 200,
        description = "OpenAPI 3.1. `/docs` shows it as a page.",
        body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "Confab", "version": "0.1.0"}, "paths": {}}),
    )),
)]
pub async fn show(json: web::Data<Json>) -> HttpResponse {
    let json = web::Bytes::clone(&json);
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(json)
}
