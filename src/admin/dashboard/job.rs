//! Page of one job, with its error and payload.

use actix_web::web::{Data, Path};
use maud::{Markup, html};
use serde_json::Value;

use super::{
    super::{
        AdminState,
        api::job_id,
        page::{MenuItem, page},
    },
    HttpResult,
    format::moment,
    html_response,
};
use crate::maintenance::{JobInfo, JobState, Maintenance};

/// `GET /jobs/{id}`
pub async fn show(id: Path<String>, state: Data<AdminState>) -> HttpResult {
    let job = state.maintenance.job(job_id(&id)?).await?;
    let title = format!("Job {}", job.id);
    let (item, due) = match job.state {
        JobState::Dead => (MenuItem::Dead, "Dead since"),
        _ => (MenuItem::Jobs, "Next attempt"),
    };
    let body = html! {
        div.head {
            h1 { "Job " span.mono { (job.id) } }
            (buttons(&job))
        }
        section.card {
            dl {
                dt { "State" } dd { span class={ "pill " (job.state.name()) } { (job.state.name()) } }
                dt { "Kind" } dd { (job.kind) }
                dt { "Writes" } dd.mono { (job.target) }
                dt { "Accepted" } dd { (moment(job.accepted_at)) " UTC" }
                @if let Some(key) = &job.origin.key { dt { "Key" } dd.mono { (key) } }
                @if let Some(user) = &job.origin.user { dt { "User" } dd { (user) } }
                @if let Some(time) = job.due { dt { (due) } dd { (moment(time)) " UTC" } }
                dt { "Failures" } dd { (job.tries) }
                @if job.crashes > 0 { dt { "Crashes" } dd { (job.crashes) " workers crashed while they held it" } }
            }
        }
        @if let Some(error) = &job.error {
            section.card { div.title { h2 { "Error" } } pre.failure { (error) } }
        }
        @if let Some(payload) = &job.payload {
            section.card { div.title { h2 { "Payload" } } pre tabindex="0" { (readable(payload)) } }
        }
        p { a href={ "/jobs?state=" (job.state.name()) } { "All " (job.state.name()) " jobs" } }
    };
    html_response(page(&title, item, &body))
}

fn buttons(job: &JobInfo) -> Markup {
    html! {
        div.actions {
            @if matches!(job.state, JobState::Dead | JobState::Delayed) {
                form method="post" action={ "/jobs/" (job.id) "/retry" } {
                    button.button.main type="submit" { "Retry" }
                }
            }
            @if Maintenance::check_discardable(job).is_ok() {
                a.button.danger href={ "/jobs/" (job.id) "/kill" } { "Discard…" }
            }
        }
    }
}

/// Indented, if it can be read at all.
fn readable(payload: &str) -> String {
    let json = serde_json::from_str::<Value>(payload);
    let text = json.and_then(|json| serde_json::to_string_pretty(&json));
    text.unwrap_or_else(|_| payload.to_owned())
}
