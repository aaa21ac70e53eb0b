//! Targets of the forms. Each redirects to a page that shows the result, so that a reload repeats nothing.

use std::sync::atomic::AtomicU64;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Path, Query},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    super::{
        AdminState,
        api::{job_id, kind},
        error::AdminError,
        page::{MenuItem, page},
    },
    HttpResult,
    format::count,
    html_response,
};
use crate::{domain::Kind, maintenance::Maintenance};

/// `POST /jobs/{id}/retry`
pub async fn retry(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    state.maintenance.retry_job(job_id(&id)?).await?;
    Ok(go("/jobs?state=dead&done=retried"))
}

/// `GET /jobs/{id}/kill`: asks for confirmation.
pub async fn ask_discard(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    let id = job_id(&id)?;
    let job = state.maintenance.job(id).await?;
    Maintenance::check_discardable(&job)?;
    let what = html! {
        "The write that it holds (" code { (job.kind) } " of " code { (job.target) } ") is lost. What it would have created is deleted; \
         a message that it would have updated gets its previous text again. This cannot be undone."
    };
    html_response(ask(
        "Discard this job?",
        &what,
        &format!("/jobs/{id}/kill"),
        "Discard",
        true,
        &format!("/jobs/{id}"),
    ))
}

/// `POST /jobs/{id}/kill`
pub async fn discard(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    state.maintenance.discard_job(job_id(&id)?).await?;
    Ok(go("/jobs?state=dead&done=killed"))
}

/// `GET /jobs/retry`: asks for confirmation.
pub async fn ask_retry_all(state: Data<AdminState>) -> HttpResult {
    let stats = state.maintenance.job_stats().await?;
    let dead: u64 = stats.iter().map(|kind| kind.dead).sum();
    let what = html! { "All " b { (count(dead)) } " dead letters will be retried. Jobs that fail again become dead letters again." };
    html_response(ask(
        "Retry all dead letters?",
        &what,
        "/jobs/retry",
        "Retry all",
        false,
        "/jobs?state=dead",
    ))
}

/// `POST /jobs/retry`
pub async fn retry_all(state: Data<AdminState>) -> HttpResult {
    let retried = AtomicU64::new(0);
    state.maintenance.retry_all_jobs(&retried).await?;
    let retried = retried.into_inner();
    Ok(go(&format!(
        "/jobs?state=dead&done=retried&count={retried}"
    )))
}

/// `POST /kinds/{kind}/pause`
pub async fn pause(name: Path<String>, state: Data<AdminState>) -> HttpResult {
    set_paused(&name, &state, true).await
}

/// `POST /kinds/{kind}/resume`
pub async fn resume(name: Path<String>, state: Data<AdminState>) -> HttpResult {
    set_paused(&name, &state, false).await
}

async fn set_paused(name: &str, state: &AdminState, paused: bool) -> HttpResult {
    let kind = kind(name)?;
    state.maintenance.set_paused(kind, paused).await?;
    let done = if paused { "paused" } else { "resumed" };
    Ok(go(&format!("/?done={done}&kind={}", kind.name())))
}

fn go(path: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, path))
        .finish()
}

fn ask(title: &str, what: &Markup, action: &str, yes: &str, danger: bool, no: &str) -> Markup {
    let body = html! {
        section.card {
            div.title { h1 { (title) } }
            div.body {
                p { (what) }
                br;
                form.actions method="post" action=(action) {
                    button.button.main.danger[danger] type="submit" { (yes) }
                    a.button href=(no) { "Cancel" }
                }
            }
        }
    };
    page(title, MenuItem::Dead, &body)
}

/// Result of an action, in the query of the page that it redirects to. The page shows fixed texts, never the query's.
#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    done: String,
    #[serde(default)]
    kind: String,
    count: Option<u64>,
}

/// Notice about the last action, if the query names one.
pub fn notice(request: &HttpRequest) -> Result<Markup, AdminError> {
    let Query(Done {
        done,
        kind,
        count: jobs,
    }) = Query::from_query(request.query_string())
        .map_err(|error| AdminError::Parameter(error.to_string()))?;
    let kind = Kind::from_name(&kind).map(Kind::name);
    let text = match (done.as_str(), jobs, kind) {
        ("retried", None, _) => "The job will be retried.".to_owned(),
        ("retried", Some(jobs), _) => format!("{} dead letters will be retried.", count(jobs)),
        ("killed", ..) => "The job is discarded.".to_owned(),
        ("paused", _, Some(kind)) => format!("{kind} is paused."),
        ("resumed", _, Some(kind)) => format!("{kind} is resumed."),
        _ => return Ok(html! {}),
    };
    Ok(html! { p.note.good role="status" { (text) } })
}
