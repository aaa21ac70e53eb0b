//! Description of the API: OpenAPI 3.1, made from the routes.

use utoipa::{
    OpenApi,
    openapi::{
        HttpMethod, OpenApi as Document, PathItem, RefOr, Response,
        header::HeaderBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    error::{ErrorBody, HttpError},
    error_responses::add,
    extract::idempotency,
    routes,
};
use crate::{
    auth::{Access, AuthMode},
    domain::{Entity, Error},
};

/// Name of the security scheme.
const CREDENTIAL: &str = "credential";

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
        (name = "Access", description = "Keys of servers and tokens of users, with `auth.mode = \"required\"`."),
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

/// Returns the description of the routes that exist in this mode.
pub fn document(mode: AuthMode) -> Document {
    let mut document = Info::openapi().merge_from(routes::Description::openapi());
    for route in routes::all() {
        let Some(item) = document.paths.paths.get_mut(&route.path) else {
            continue;
        };
        let access = route.rule.access;
        for method in &route.methods {
            let slot = slot(item, method);
            if mode == AuthMode::Open && !access.exists_in_open_mode() {
                *slot = None;
            }
            if let Some(operation) = slot {
                complete(&route.path, *method == HttpMethod::Get, operation);
                describe_writes(&route.path, method, operation);
                if mode == AuthMode::Required {
                    protect(&route.path, access, operation);
                }
            }
        }
    }
    let is_empty = |item: &PathItem| {
        [&item.get, &item.post, &item.put, &item.patch, &item.delete]
            .iter()
            .all(|operation| operation.is_none())
    };
    document.paths.paths.retain(|_, item| !is_empty(item));
    if mode == AuthMode::Required {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key (`cfb_…`), or a user token (JWT)."));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(CREDENTIAL, SecurityScheme::Http(scheme.build()));
    }
    document
}

fn slot<'a>(item: &'a mut PathItem, method: &HttpMethod) -> &'a mut Option<Operation> {
    match method {
        HttpMethod::Get => &mut item.get,
        HttpMethod::Post => &mut item.post,
        HttpMethod::Put => &mut item.put,
        HttpMethod::Delete => &mut item.delete,
        HttpMethod::Options => &mut item.options,
        HttpMethod::Head => &mut item.head,
        HttpMethod::Patch => &mut item.patch,
        HttpMethod::Trace => &mut item.trace,
    }
}

/// Adds the security and the errors of an access rule.
fn protect(path: &str, access: Access, operation: &mut Operation) {
    if access == Access::Public {
        operation.security = Some(Vec::new());
        return;
    }
    let credential = SecurityRequirement::new(CREDENTIAL, [""; 0]);
    operation.security = Some(vec![credential]);
    let mut errors = vec![
        HttpError::CredentialRequired,
        HttpError::CredentialExpired,
        HttpError::CredentialInvalid,
    ];
    if path.contains("{app}") {
        errors.push(Error::NotFound(Entity::Application).into());
    }
    if path.contains("{chat}") {
        errors.push(Error::NotFound(Entity::Chat).into());
    }
    errors.extend(access.refusals().into_iter().map(HttpError::from));
    add(&mut operation.responses.responses, errors);
}

/// Adds the errors and headers that all routes of a kind have.
fn complete(path: &str, is_get: bool, operation: &mut Operation) {
    let uses_stores = path.starts_with("/application");
    let mut parameters = operation.parameters.iter().flatten();
    let has_pages = parameters
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "limit"));
    let responses = &mut operation.responses.responses;
    if uses_stores {
        add(responses, errors(is_get, has_pages));
    }
    if !is_get {
        add(responses, [HttpError::CrossSite]);
    }
    if path != "/up" {
        add(responses, [HttpError::TooManyRequests { seconds: 1 }]);
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

/// Adds the errors and headers of creations that can be repeated, and the headers of writes that make a version of a message.
fn describe_writes(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let creates_once = *method == HttpMethod::Post
        && ["/chat", "/chats", "/message"]
            .iter()
            .any(|end| path.ends_with(end));
    let makes_version = creates_once && path.ends_with("/message") || *method == HttpMethod::Put;
    let responses = &mut operation.responses.responses;
    if creates_once {
        let created = match path.ends_with("/message") {
            true => Entity::Message,
            false => Entity::Chat,
        };
        add(responses, idempotency::ERRORS.map(HttpError::from));
        let replay = [Error::NotFound(created), Error::KeyReused];
        add(responses, replay.map(HttpError::from));
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if creates_once && status == "201" {
            let replayed = "`true` if an earlier request with the same idempotency key created it.";
            add_header(response, "Idempotent-Replayed", replayed, "true");
        }
        if makes_version && ["200", "201"].contains(&&**status) {
            let etag = "The version of the message, for `If-Match` and `If-None-Match`.";
            add_header(response, "ETag", etag, "\"000003000000004d\"");
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
