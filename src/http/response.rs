//! Responses that several routes share.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, LINK, LOCATION, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    extract::{PageQuery, page::PageKind},
    memory::Reservation,
};
use crate::{
    domain::page::Listing,
    service::{Created, Read},
};

/// Starts the response to a read. A stale one holds only what is stored, because the queue is unreachable.
pub fn read(stale: bool) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    if stale {
        response.insert_header(("Confab-State", "stale"));
    }
    response
}

/// Page of a list, as an array of `I`, with links to its neighbours, in memory that was reserved for it.
pub fn list<I: Serialize>(
    query: &PageQuery<impl PageKind>,
    listing: Read<Listing<impl Into<I>>>,
    reservation: Reservation,
) -> HttpResponse {
    let link = query.link(&listing.value);
    let items: Vec<I> = listing.value.items.into_iter().map(Into::into).collect();
    page_of(listing.stale, link, items, reservation)
}

/// Page of a list with the value of its `Link` header.
pub fn page_of<I: Serialize>(
    stale: bool,
    link: Option<String>,
    items: Vec<I>,
    reservation: Reservation,
) -> HttpResponse {
    let mut response = read(stale);
    if let Some(link) = link {
        response.insert_header((LINK, link));
    }
    let mut response = response.json(items);
    response.extensions_mut().insert(reservation);
    response
}

/// Starts the response with a page for people, with this content security policy. It changes with the binary, but its URL
/// does not.
pub fn page(policy: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-cache"));
    response
}

/// Forbids caches to keep a response with a credential.
pub fn with_credential(mut response: HttpResponse) -> HttpResponse {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// Response to a creation. `location` is relative to the URL of the request, so it is also correct behind a proxy that
/// changes the path.
pub fn created(location: String) -> HttpResponseBuilder {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, location));
    response
}

/// Response to the creation of a chat or message, which may repeat that of an earlier request.
pub fn created_once<K>(location: String, created: &Created<K>) -> HttpResponseBuilder {
    let mut response = self::created(location);
    if created.revision.is_none() {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    response
}

/// Write that was accepted.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "success"}))]
pub struct Success {
    #[schema(pattern = "^success$")]
    status: &'static str,
}

/// Response to a write that was accepted.
pub fn success() -> HttpResponse {
    HttpResponse::Ok().json(Success { status: "success" })
}
