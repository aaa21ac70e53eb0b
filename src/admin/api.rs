//! The administration of jobs for programs: what `confab jobs --json` prints, and does.

use std::sync::atomic::AtomicU64;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Path, ServiceConfig},
};
use serde_json::json;

use super::{AdminState, error::AdminError, listing::JobsQuery};
use crate::domain::{Kind, Revision};

type HttpResult = Result<HttpResponse, AdminError>;

/// Registers all routes: docs/operating.md, "Admin API".
pub fn routes(app: &mut ServiceConfig) {
    app.route("/api/jobs/stats", web::get().to(stats))
        .route("/api/jobs", web::get().to(list))
        .route("/api/jobs/retry", web::post().to(retry_all))
        .route("/api/jobs/{id}", web::get().to(show))
        .route("/api/jobs/{id}/retry", web::post().to(retry))
        .route("/api/jobs/{id}/kill", web::post().to(discard))
        .route("/api/kinds/{kind}/pause", web::post().to(pause))
        .route("/api/kinds/{kind}/resume", web::post().to(resume));
}

async fn stats(state: Data<AdminState>) -> HttpResult {
    Ok(HttpResponse::Ok().json(json!({ "kinds": state.maintenance.job_stats().await? })))
}

async fn list(request: HttpRequest, state: Data<AdminState>) -> HttpResult {
    let listed = JobsQuery::read(&request)?.jobs(&state.maintenance).await?;
    Ok(HttpResponse::Ok().json(json!({ "jobs": listed })))
}

async fn show(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    Ok(HttpResponse::Ok().json(state.maintenance.job(job_id(&id)?).await?))
}

async fn retry(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    state.maintenance.retry_job(job_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "retried": 1 })))
}

async fn retry_all(state: Data<AdminState>) -> HttpResult {
    let retried = AtomicU64::new(0);
    state.maintenance.retry_all_jobs(&retried).await?;
    Ok(HttpResponse::Ok().json(json!({ "retried": retried.into_inner() })))
}

async fn discard(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    state.maintenance.discard_job(job_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "killed": 1 })))
}

async fn pause(name: Path<String>, state: Data<AdminState>) -> HttpResult {
    set_paused(&name, &state, true).await
}

async fn resume(name: Path<String>, state: Data<AdminState>) -> HttpResult {
    set_paused(&name, &state, false).await
}

async fn set_paused(name: &str, state: &AdminState, paused: bool) -> HttpResult {
    let kind = kind(name)?;
    state.maintenance.set_paused(kind, paused).await?;
    Ok(HttpResponse::Ok().json(json!({ "kind": kind.name(), "paused": paused })))
}

/// The job that a path names.
pub fn job_id(text: &str) -> Result<Revision, AdminError> {
    Revision::parse(text).ok_or(AdminError::NoSuchPage)
}

/// The kind that a path names.
pub fn kind(name: &str) -> Result<Kind, AdminError> {
    Kind::from_name(name).ok_or(AdminError::NoSuchPage)
}
