//! `GET /` in a browser: a page that says what this server is.

use actix_web::{
    HttpResponse,
    http::header::{ContentType, VARY},
};

use crate::http::response;

/// Content security policy: nothing but the page's own styles.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("../assets/root.html");

/// `GET /` for clients that accept HTML.
pub async fn page() -> HttpResponse {
    response::page(POLICY)
        .content_type(ContentType::html())
        .insert_header((VARY, "Accept"))
        .body(PAGE)
}
