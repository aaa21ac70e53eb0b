//! The administration of jobs for programs: what `confab jobs --json` prints, and does.

use std::sync::atomic::AtomicU64;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Path, ServiceConfig},
};
use serde_json::json;

use super::{Desk, error::AdminError, listing::Listing};
use crate::{
    domain::{Kind, Revision},
    service::jobs,
};

type Answer = Result<HttpResponse, AdminError>;

/// All of them; README's "The dashboard" has the table.
pub fn routes(app: &mut ServiceConfig) {
    app.route("/api/jobs/stats", web::get().to(stats))
        .route("/api/jobs", web::get().to(list))
        .route("/api/jobs/retry", web::post().to(retry_all))
        .route("/api/jobs/{id}", web::get().to(show))
        .route("/api/jobs/{id}/retry", web::post().to(retry))
        .route("/api/jobs/{id}/kill", web::post().to(kill))
        .route("/api/kinds/{kind}/pause", web::post().to(pause))
        .route("/api/kinds/{kind}/resume", web::post().to(resume));
}

async fn stats(desk: Data<Desk>) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "kinds": desk.queue.stats().await? })))
}

async fn list(request: HttpRequest, desk: Data<Desk>) -> Answer {
    let listed = Listing::read(&request)?.jobs(&*desk.queue).await?;
    Ok(HttpResponse::Ok().json(json!({ "jobs": listed })))
}

async fn show(id: Path<String>, desk: Data<Desk>) -> Answer {
    Ok(HttpResponse::Ok().json(jobs::show(&*desk.queue, job_id(&id)?).await?))
}

async fn retry(id: Path<String>, desk: Data<Desk>) -> Answer {
    jobs::retry(&*desk.queue, job_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "retried": 1 })))
}

async fn retry_all(desk: Data<Desk>) -> Answer {
    let retried = AtomicU64::new(0);
    jobs::retry_all(&*desk.queue, &retried).await?;
    Ok(HttpResponse::Ok().json(json!({ "retried": retried.into_inner() })))
}

async fn kill(id: Path<String>, desk: Data<Desk>) -> Answer {
    jobs::kill(&*desk.queue, job_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "killed": 1 })))
}

async fn pause(name: Path<String>, desk: Data<Desk>) -> Answer {
    set_paused(&name, &desk, true).await
}

async fn resume(name: Path<String>, desk: Data<Desk>) -> Answer {
    set_paused(&name, &desk, false).await
}

async fn set_paused(name: &str, desk: &Desk, paused: bool) -> Answer {
    let kind = kind(name)?;
    desk.queue.set_paused(kind, paused).await?;
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
