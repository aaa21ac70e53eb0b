//! The dashboard: pages that work without a script, and are kept up to date by one.

mod actions;
mod chart;
mod job;
mod jobs;
mod keys;
mod overview;

mod format;

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, ContentType},
    web::{self, ServiceConfig},
};
use maud::Markup;

use super::error::AdminError;

type HttpResult = Result<HttpResponse, AdminError>;

/// The pages, what their forms are sent to, and what is in the binary for them.
pub fn routes(app: &mut ServiceConfig) {
    app.route("/", web::get().to(overview::show))
        .route("/jobs", web::get().to(jobs::list))
        .route("/jobs/retry", web::get().to(actions::ask_retry_all))
        .route("/jobs/retry", web::post().to(actions::retry_all))
        .route("/jobs/{id}", web::get().to(job::show))
        .route("/jobs/{id}/retry", web::post().to(actions::retry))
        .route("/jobs/{id}/kill", web::get().to(actions::ask_discard))
        .route("/jobs/{id}/kill", web::post().to(actions::discard))
        .route("/keys", web::get().to(keys::show))
        .route("/kinds/{kind}/pause", web::post().to(actions::pause))
        .route("/kinds/{kind}/resume", web::post().to(actions::resume));
    for (path, kind, text) in [
        (
            "/assets/dashboard.css",
            "text/css; charset=utf-8",
            include_str!("../assets/dashboard.css"),
        ),
        (
            "/assets/dashboard.js",
            "text/javascript; charset=utf-8",
            include_str!("../assets/dashboard.js"),
        ),
        (
            "/assets/icon.svg",
            "image/svg+xml",
            include_str!("../assets/icon.svg"),
        ),
    ] {
        let asset = move || async move {
            // As long as an upgrade may take to be seen.
            HttpResponse::Ok()
                .content_type(kind)
                .insert_header((CACHE_CONTROL, "max-age=60"))
                .body(text)
        };
        app.route(path, web::get().to(asset));
    }
}

fn html_response(page: Markup) -> HttpResult {
    let page = page.into_string();
    Ok(HttpResponse::Ok()
        .content_type(ContentType::html())
        .body(page))
}
