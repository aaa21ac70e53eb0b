//! Keys, without their secrets. The admin token is no installation key, so nothing is changed here.

use actix_web::{
    HttpRequest,
    web::{Data, Query},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    super::{
        AdminState,
        error::AdminError,
        page::{MenuItem, page},
    },
    HttpResult,
    format::moment,
    html_response,
};
use crate::{
    auth::{AuthMode, KeyPage},
    domain::{Key, KeyId, Timestamp},
};

/// Keys on one page.
const LIMIT: usize = 100;

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    after: String,
}

/// `GET /keys`
pub async fn show(request: HttpRequest, state: Data<AdminState>) -> HttpResult {
    let Query(raw) = Query::<Raw>::from_query(request.query_string())
        .map_err(|error| AdminError::Parameter(error.to_string()))?;
    let after = match raw.after.as_str() {
        "" => None,
        text => Some(
            KeyId::parse(text)
                .ok_or_else(|| AdminError::Parameter("after must be the ID of a key".to_owned()))?,
        ),
    };
    let page_of_keys = KeyPage {
        app: None,
        after,
        limit: LIMIT,
    };
    let keys = state.api_access.keys.list(page_of_keys).await?;
    let body = html! {
        h1 { "Keys" }
        p.soft {
            @match state.api_access.mode {
                AuthMode::Required => { "Every request needs a key or a user token." }
                AuthMode::Open => { "Keys are not needed, because auth.mode is \"open\"." }
            }
            " " code { "confab keys" } " creates, expires and revokes keys."
        }
        div.live-part data-live {
            section.card { (table(&keys, after.is_some(), state.api_access.keys.now())) }
        }
    };
    html_response(page("Keys", MenuItem::Keys, &body))
}

fn table(keys: &[Key], is_later_page: bool, now: Timestamp) -> Markup {
    let next = keys.last().filter(|_| keys.len() == LIMIT);
    html! {
        @if keys.is_empty() {
            p.empty { "No keys" @if is_later_page { " after this one" } "." }
        } @else {
            table {
                thead { tr {
                    th scope="col" { "Key" }
                    th scope="col" { "Application" }
                    th scope="col" { "Name" }
                    th scope="col" { "Rights" }
                    th scope="col" { "Created (UTC)" }
                    th scope="col" { "Expires (UTC)" }
                    th scope="col" { "Last used" }
                } }
                tbody {
                    @for key in keys {
                        tr data-key=(key.id) {
                            th.mono scope="row" { (key.id) }
                            td.mono data-label="Application" {
                                @match key.app {
                                    Some(app) => { (app) }
                                    None => { "all" }
                                }
                            }
                            td.words data-label="Name" { (key.name) }
                            td data-label="Rights" { @if key.read_only { "read" } @else { "read, write" } }
                            td.nowrap data-label="Created" { (moment(key.created_at)) }
                            td.nowrap data-label="Expires" { (expiry(key, now)) }
                            td.nowrap data-label="Last used" {
                                @match key.last_used {
                                    Some(day) => { (day) }
                                    None => { "never" }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if is_later_page || next.is_some() {
            div.pages {
                @if is_later_page { a.button href="/keys" { "← First page" } } @else { span {} }
                @if let Some(last) = next {
                    a.button rel="next" href={ "/keys?after=" (last.id) } { "Next →" }
                }
            }
        }
    }
}

fn expiry(key: &Key, now: Timestamp) -> Markup {
    html! {
        @match key.expires_at {
            None => { "never" }
            Some(end) if end <= now => { span.pill.warn { "expired" } " " (moment(end)) }
            Some(end) => { (moment(end)) }
        }
    }
}
