//! `GET /openapi.json`.

use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{Bytes, Data},
};

/// Body of the response.
pub struct Json(pub Bytes);

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
pub async fn show(json: Data<Json>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType::json())
        .body(json.0.clone())
}
