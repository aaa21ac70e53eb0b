//! Overview of queues, stores and workers.

use std::time::Duration;

use actix_web::{HttpRequest, web::Data};
use maud::{Markup, html};

use super::{
    super::{
        AdminState, ApiAccess,
        history::Interval,
        page::{MenuItem, page},
    },
    HttpResult, actions,
    chart::{self, Series},
    format::{count, latency, span},
    html_response,
    jobs::in_state,
};
use crate::{
    auth::AuthMode,
    maintenance::{JobState, KindStats, Probe, StoreError},
    telemetry::worker_status::WorkerStatus,
};

/// `GET /`
pub async fn show(request: HttpRequest, state: Data<AdminState>) -> HttpResult {
    let (stats, stores, lag) = tokio::join!(
        state.maintenance.job_stats(),
        state.maintenance.stores(),
        state.maintenance.waiting_batches(),
    );
    let workers = state.process.workers();
    let intervals = state.history.intervals();
    let body = html! {
        h1 { "Overview" }
        (actions::notice(&request)?)
        div.live-part data-live {
            (troubles(&stats, &stores, &workers, state.process.is_ending()))
            (open_mode(&state.api_access))
            @if let Ok(stats) = &stats { (tiles(stats, &lag)) }
            div.pair { (rates(&intervals)) (depth(&intervals)) }
            @if let Ok(stats) = &stats { (kinds(stats)) }
            div.pair { (store_table(&stores)) (worker_table(&workers)) }
        }
    };
    html_response(page("Overview", MenuItem::Overview, &body))
}

fn troubles(
    stats: &Result<Vec<KindStats>, StoreError>,
    stores: &[Probe],
    workers: &[WorkerStatus],
    ending: bool,
) -> Markup {
    let stalled = workers.iter().filter(|worker| worker.stalled.is_some());
    let stalled: Vec<&str> = stalled.map(|worker| worker.name).collect();
    html! {
        @if ending { p.note.warn { "This process is shutting down." } }
        @for store in stores.iter().filter(|store| store.error.is_some()) {
            @if store.needed {
                p.note.bad { "Writes fail: the " (store.name) " store is unavailable." }
            } @else {
                p.note.warn { "Search is unavailable; everything else works." }
            }
        }
        @if let (Err(error), true) = (stats, stores.iter().all(|store| store.error.is_none())) {
            p.note.bad { "Failed to read the jobs: " (error) }
        }
        @if !stalled.is_empty() { p.note.bad { "Stalled: " (stalled.join(", ")) } }
    }
}

fn open_mode(access: &ApiAccess) -> Markup {
    html! {
        @if access.mode == AuthMode::Open {
            @match &access.reachable_address {
                Some(address) => {
                    p.note.warn { "Every request is let in (auth.mode is \"open\"), and the API listens on " (address) ", which other machines may reach." }
                }
                None => { p.soft.small { "Every request is let in (auth.mode is \"open\")." } }
            }
        }
    }
}

fn tiles(stats: &[KindStats], lag: &Result<u64, StoreError>) -> Markup {
    let total = |state| stats.iter().map(|kind| in_state(kind, state)).sum::<u64>();
    html! {
        div.tiles {
            @for state in JobState::ALL {
                a.tile.alarm[state == JobState::Dead && total(state) > 0] href={ "/jobs?state=" (state.name()) } {
                    span.name { span class={ "dot " (state.name()) } {} (state_title(state)) }
                    span.value data-total=(state.name()) { (count(total(state))) }
                }
            }
            div.tile {
                span.name { span.dot.lag {} "Index lag" }
                span.value {
                    @match lag {
                        Ok(batches) => { (count(*batches)) }
                        Err(_) => { "–" }
                    }
                }
            }
        }
    }
}

fn state_title(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "Waiting",
        JobState::Leased => "Leased",
        JobState::Delayed => "Delayed",
        JobState::Dead => "Dead",
    }
}

fn rates(intervals: &[Interval]) -> Markup {
    let line = |of: fn(&Interval) -> f64| {
        intervals
            .iter()
            .map(|interval| Some(of(interval)))
            .collect()
    };
    let lines = [
        Series {
            name: "stored",
            class: "stored",
            points: line(|interval| interval.stored),
        },
        Series {
            name: "accepted",
            class: "accepted",
            points: line(|interval| interval.accepted),
        },
    ];
    card(
        "Rates",
        "writes a second, in this process",
        &chart::draw("Rates", "/s", &lines),
    )
}

#[allow(clippy::cast_precision_loss, reason = "a number for a chart")]
fn depth(intervals: &[Interval]) -> Markup {
    let points = intervals
        .iter()
        .map(|interval| interval.depth.map(|depth| depth as f64))
        .collect();
    let lines = [Series {
        name: "queued",
        class: "depth",
        points,
    }];
    card(
        "Depth",
        "accepted but not stored yet, in all processes",
        &chart::draw("Depth", "", &lines),
    )
}

fn card(title: &str, about: &str, body: &Markup) -> Markup {
    html! {
        section.card {
            div.title { h2 { (title) } span.soft.small { (about) } }
            div.body { (body) }
        }
    }
}

fn kinds(stats: &[KindStats]) -> Markup {
    html! {
        section.card {
            div.title { h2 { "Kinds" } }
            table.pairs {
                thead { tr {
                    th scope="col" { "Kind" }
                    @for state in JobState::ALL { th.num scope="col" { (state_title(state)) } }
                    th.num scope="col" { "Oldest" }
                    th scope="col" { "State" }
                    th {}
                } }
                tbody {
                    @for kind in stats { (kind_row(kind)) }
                }
            }
        }
    }
}

fn kind_row(kind: &KindStats) -> Markup {
    let oldest = Duration::from_millis(kind.oldest_ms);
    let (pill, state, action) = match kind.paused {
        true => ("warn", "paused", "resume"),
        false => ("good", "running", "pause"),
    };
    html! {
        tr data-kind=(kind.kind) {
            th scope="row" { (kind.kind) }
            @for state in JobState::ALL {
                @let jobs = in_state(kind, state);
                td.num.zero[jobs == 0].some-dead[state == JobState::Dead && jobs > 0]
                    data-label=(state_title(state)) data-state=(state.name()) {
                    a href={ "/jobs?state=" (state.name()) "&kind=" (kind.kind) } { (count(jobs)) }
                }
            }
            td.num.zero[kind.oldest_ms == 0] data-label="Oldest" { @if kind.oldest_ms == 0 { "–" } @else { (span(oldest)) } }
            td data-label="State" { span class={ "pill " (pill) } data-paused=(kind.paused) { (state) } }
            td.act {
                form method="post" action={ "/kinds/" (kind.kind) "/" (action) } {
                    button.button.small type="submit" aria-label={ (action) " " (kind.kind) } {
                        @if kind.paused { "Resume" } @else { "Pause" }
                    }
                }
            }
        }
    }
}

fn store_table(stores: &[Probe]) -> Markup {
    html! {
        section.card {
            div.title { h2 { "Stores" } }
            table {
                thead { tr { th scope="col" { "Store" } th.num scope="col" { "Latency" } th scope="col" { "State" } } }
                tbody {
                    @for store in stores {
                        tr {
                            th scope="row" { (store.name) }
                            td.num.nowrap data-label="Latency" { (latency(store.latency)) }
                            td.words data-label="State" {
                                @match &store.error {
                                    None => { span.pill.good { "ok" } }
                                    Some(error) => { span { span.pill.bad { "failing" } " " span.soft { (error) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn worker_table(workers: &[WorkerStatus]) -> Markup {
    html! {
        section.card {
            div.title { h2 { "Workers" } span.soft.small { "in this process" } }
            table {
                thead { tr { th scope="col" { "Worker" } th.num scope="col" { "Restarts" } th scope="col" { "State" } } }
                tbody {
                    @for worker in workers {
                        tr {
                            th scope="row" { (worker.name) }
                            td.num.zero[worker.restarts == 0] data-label="Restarts" { (count(worker.restarts)) }
                            td.words data-label="State" { (worker_state(worker)) }
                        }
                    }
                }
            }
        }
    }
}

fn worker_state(worker: &WorkerStatus) -> Markup {
    html! {
        @if let Some(time) = worker.stalled {
            span { span.pill.bad { "stalled" } " " span.soft { "for " (span(time)) } }
        } @else if let Some(error) = &worker.error {
            span { span.pill.warn { "retrying" } " " span.soft { (error) } }
        } @else {
            span.pill.good { "ok" }
        }
    }
}
