//! Description of the API: OpenAPI 3.1, made from the routes.

use utoipa::{
    OpenApi,
    openapi::{OpenApi as Document, RefOr, Response, header::HeaderBuilder, path::Operation},
};

use super::{
    error::{ErrorBody, HttpError},
    error_responses::describe,
    routes,
};
use crate::domain::Error;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Confab",
        description = "A chat backend: applications, chats and messages.\n\n\
            A write is durable once its response is a success, and can be read immediately; search follows within about a \
            second.\n\n\
            Every error is `{\"error\":\"…\"}`. An unknown path returns 404 `Not found`, a method that is not listed here \
            405 `Method not allowed` with `Allow`. Every path with `GET` has `HEAD`, and every path has `OPTIONS`. The head \
            of a request may have up to 64 KiB (431), its body up to 256 KiB (413). Unknown members of a body and unknown \
            query parameters are ignored.\n\n\
            A server on a loopback address returns 421 if `Host` is neither a loopback name nor in `server.hosts`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "Applications", description = "Each has its own chats."),
        (name = "Chats", description = "Numbered within their application from 1, without gaps."),
        (name = "Messages", description = "Numbered within their chat from 1, without gaps."),
        (name = "Search", description = "Finds messages within one chat. Case, width and diacritics are ignored."),
        (name = "Operation", description = "For operators and tools."),
    ),
    components(schemas(ErrorBody)),
    // Relative to the URL of this description, so that it is right behind a proxy that serves the API below a path.
    servers((url = ".", description = "This server")),
)]
struct Info;

/// Returns the description.
pub fn document() -> Document {
    let mut document = Info::openapi().merge_from(routes::Description::openapi());
    for (path, item) in &mut document.paths.paths {
        let writes = [
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        let writes = writes.into_iter().flatten().map(|write| (false, write));
        for (is_get, operation) in writes.chain(item.get.iter_mut().map(|read| (true, read))) {
            complete(path, is_get, operation);
        }
    }
    document
}

/// Adds the errors and headers that all routes of a kind have.
fn complete(path: &str, is_get: bool, operation: &mut Operation) {
    let uses_stores = path.starts_with("/application");
    let mut parameters = operation.parameters.iter().flatten();
    let has_pages = parameters
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "limit"));
    let responses = &mut operation.responses.responses;
    if uses_stores {
        responses.extend(describe(errors(is_get, has_pages)));
    }
    if !is_get {
        responses.extend(describe([HttpError::CrossSite]));
    }
    if path != "/up" {
        responses.extend(describe([HttpError::TooManyRequests { seconds: 1 }]));
    }
    if is_get {
        let description = "Unchanged since the response whose ETag is in `If-None-Match`.";
        responses.insert("304".into(), Response::new(description).into());
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let is_ok = status == "200";
        let id = "ID of the request, as in the log: the one that the client sent, else a new one.";
        add_header(response, "X-Request-Id", id, "9f2c1a7be04d3358");
        if status == "201" {
            let location = "The new resource, relative to the URL of the request.";
            add_header(response, "Location", location, "message/3");
        }
        if is_get && (is_ok || status == "304") {
            let example = "W/\"8c3f1a0e5b7d9246\"";
            add_header(response, "ETag", "For `If-None-Match`.", example);
            let revalidate = "A stored response must be revalidated before it is used.";
            add_header(response, "Cache-Control", revalidate, "private, no-cache");
        }
        if is_get && is_ok && uses_stores {
            let stale = "`stale`: the queue was unavailable, so the response may lack writes that are not stored yet.";
            add_header(response, "Confab-State", stale, "stale");
        }
        if is_ok && has_pages {
            let neighbours = "Links to the neighbouring pages (RFC 8288): `next`, `prev`, relative to the URL of the request. \
                A page may have fewer items than its limit; only a missing `next` means the end.";
            let example = "<?limit=10&after=20>; rel=\"next\"";
            add_header(response, "Link", neighbours, example);
        }
    }
}

fn add_header(response: &mut Response, name: &str, description: &str, example: &str) {
    let header = HeaderBuilder::new().description(Some(description));
    let mut header = header.build();
    header.example = Some(example.into());
    response.headers.insert(name.into(), header.into());
}

/// Errors of reads, of pages or of writes when a store fails or memory is short.
fn errors(is_get: bool, has_pages: bool) -> Vec<HttpError> {
    let (store, detail) = ("", String::new);
    let mut errors = vec![Error::Unavailable {
        store,
        detail: detail(),
    }];
    if !is_get {
        errors.push(Error::Full { detail: detail() });
    }
    errors.push(Error::Internal { detail: detail() });
    let busy = has_pages.then_some(HttpError::TooManyResponses);
    errors
        .into_iter()
        .map(HttpError::from)
        .chain(busy)
        .collect()
}
