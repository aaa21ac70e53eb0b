//! Lists of jobs, by state and kind.

use actix_web::{HttpRequest, web::Data};
use maud::{Markup, html};

use super::{
    super::{
        AdminState,
        listing::JobsQuery,
        page::{MenuItem, page},
    },
    HttpResult, actions,
    format::{count, moment},
    html_response,
};
use crate::{
    domain::Kind,
    maintenance::{JobInfo, JobState, KindStats},
};

/// `GET /jobs`
pub async fn list(request: HttpRequest, state: Data<AdminState>) -> HttpResult {
    let listing = JobsQuery::read(&request)?;
    let (stats, jobs) = tokio::try_join!(
        state.maintenance.job_stats(),
        listing.jobs(&state.maintenance)
    )?;
    let dead: u64 = stats.iter().map(|kind| kind.dead).sum();
    let (title, item) = match listing.state {
        JobState::Dead => ("Dead letters", MenuItem::Dead),
        _ => ("Jobs", MenuItem::Jobs),
    };
    let body = html! {
        div.head {
            h1 { (title) }
            @if listing.state == JobState::Dead && dead > 0 {
                a.button href="/jobs/retry" { "Retry all" }
            }
        }
        (actions::notice(&request)?)
        (filter(&listing))
        div.live-part data-live {
            (tabs(&listing, &stats))
            section.card { (table(&listing, &jobs)) }
        }
    };
    html_response(page(title, item, &body))
}

fn tabs(listing: &JobsQuery, stats: &[KindStats]) -> Markup {
    let chosen = |stats: &&KindStats| listing.kind.is_none_or(|kind| kind.name() == stats.kind);
    html! {
        nav.tabs aria-label="States" {
            @for state in JobState::ALL {
                a href=(path(&JobsQuery { state, after: None, ..*listing })) aria-current=[(state == listing.state).then_some("true")] {
                    (state.name())
                    b { (count(stats.iter().filter(chosen).map(|kind| in_state(kind, state)).sum())) }
                }
            }
        }
    }
}

fn filter(listing: &JobsQuery) -> Markup {
    html! {
        form.actions method="get" action="/jobs" {
            input type="hidden" name="state" value=(listing.state.name());
            label for="kind" { "Kind" }
            select id="kind" name="kind" {
                option value="" { "all" }
                @for kind in Kind::ALL {
                    option value=(kind.name()) selected[listing.kind == Some(kind)] { (kind.name()) }
                }
            }
            button.button type="submit" { "Show" }
        }
    }
}

fn table(listing: &JobsQuery, jobs: &[JobInfo]) -> Markup {
    let next = jobs.last().filter(|_| jobs.len() == listing.limit);
    html! {
        @if jobs.is_empty() {
            p.empty { "No " (listing.state.name()) " jobs" @if listing.after.is_some() { " after this one" } "." }
        } @else {
            table {
                thead { tr {
                    th scope="col" { "Job" }
                    th scope="col" { "Kind" }
                    th scope="col" { "Writes" }
                    th scope="col" { "Accepted (UTC)" }
                    th.num scope="col" { "Failures" }
                    th scope="col" { "Error" }
                } }
                tbody {
                    @for job in jobs {
                        tr {
                            th.mono scope="row" { a href={ "/jobs/" (job.id) } { (job.id) } }
                            td data-label="Kind" { (job.kind) }
                            td.mono.words data-label="Writes" { (job.target) }
                            td.nowrap data-label="Accepted" { (moment(job.accepted_at)) }
                            td.num data-label="Failures" { (job.tries) }
                            td.error title=[job.error.as_deref()] { (job.error.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
        @if listing.after.is_some() || next.is_some() {
            div.pages {
                @if listing.after.is_some() {
                    a.button href=(path(&JobsQuery { after: None, ..*listing })) { "← First page" }
                } @else { span {} }
                @if let Some(last) = next {
                    a.button rel="next" href=(path(&JobsQuery { after: Some(last.id), ..*listing })) { "Next →" }
                }
            }
        }
    }
}

/// The address of a list; only of what is in it, so that a notice is not carried along.
pub fn path(listing: &JobsQuery) -> String {
    let mut path = format!("/jobs?state={}", listing.state.name());
    if let Some(kind) = listing.kind {
        path += &format!("&kind={}", kind.name());
    }
    if let Some(after) = listing.after {
        path += &format!("&after={after}");
    }
    if listing.limit != JobsQuery::LIMIT {
        path += &format!("&limit={}", listing.limit);
    }
    path
}

/// Number of jobs of a kind in a state.
pub fn in_state(kind: &KindStats, state: JobState) -> u64 {
    match state {
        JobState::Waiting => kind.waiting,
        JobState::Leased => kind.leased,
        JobState::Delayed => kind.delayed,
        JobState::Dead => kind.dead,
    }
}
