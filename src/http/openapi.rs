//! The description of the API: OpenAPI 3.1, from the handlers themselves.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header::ContentType, web::Bytes};
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        self, ComponentsBuilder, PathItem, Paths, RefOr, header::HeaderBuilder, path::HttpMethod,
        response::ResponseBuilder,
    },
};

use super::{
    answers::describe,
    error::{self, HttpError},
    routes::{self, Route},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Confab",
        description = "A chat backend: applications, chats and messages.\n\n\
            What a request wrote is durable once it is answered with success, and can be read at once; search follows \
            within about a second.\n\n\
            Every error is `{\"error\":\"…\"}`. An unknown path is a 404 `Not found`, another method than the ones told \
            here a 405 `Method not allowed` with `Allow`; `HEAD` is there wherever `GET` is, and `OPTIONS` everywhere. The \
            head of a request is taken up to 64 KiB (431), its body up to 256 KiB (413). Members of a body and parameters \
            of a query that nobody knows are passed over.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "Applications", description = "Each has its own chats."),
        (name = "Chats", description = "Numbered within their application, from 1 on and without a gap."),
        (name = "Messages", description = "Numbered within their chat, from 1 on and without a gap."),
        (name = "Search", description = "Finds messages within one chat. Case, width and diacritics make no difference."),
        (name = "Operation", description = "For operators and tools."),
    ),
)]
struct Head;

/// The whole description.
pub fn document() -> openapi::OpenApi {
    let (mut paths, mut schemas) = (Paths::new(), Vec::new());
    for mut route in routes::all() {
        (route.schemas)(&mut schemas);
        complete(&mut route);
        let item = PathItem::new(route.method, route.operation);
        match paths.paths.get_mut(&route.path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(route.path, item);
            }
        }
    }
    schemas.push((
        error::Body::name().into(),
        <error::Body as utoipa::PartialSchema>::schema(),
    ));
    let mut document = Head::openapi();
    document.paths = paths;
    document.components = Some(ComponentsBuilder::new().schemas_from_iter(schemas).build());
    document
}

/// What a header may look like.
const HEADERS: [(&str, &str); 4] = [
    ("X-Request-Id", "9f2c1a7be04d3358"),
    ("ETag", "W/\"8c3f1a0e5b7d9246\""),
    ("Location", "/application/dec969c6/chat/5/message/3"),
    (
        "Link",
        "</application/dec969c6/chats?limit=10&after=20>; rel=\"next\"",
    ),
];

/// Adds what goes for all routes of a kind.
fn complete(route: &mut Route) {
    let responses = &mut route.operation.responses.responses;
    // What is read from the stores can be out of their reach.
    let reads = route.method == HttpMethod::Get && responses.contains_key("500");
    if let Some(RefOr::T(read)) = responses.get_mut("200").filter(|_| reads) {
        let mut state = HeaderBuilder::new()
            .description(Some(
                "`stale`: the queue was out of reach, so only what is stored could be read.",
            ))
            .build();
        state.example = Some("stale".into());
        read.headers.insert("Confab-State".into(), state.into());
    }
    // So does `reading`, with every answer to a GET.
    let tagged = route.method == HttpMethod::Get;
    if let Some(RefOr::T(read)) = responses.get_mut("200").filter(|_| tagged) {
        let tag = HeaderBuilder::new()
            .description(Some("For `If-None-Match`."))
            .build();
        read.headers.insert("ETag".into(), tag.clone().into());
        let same = ResponseBuilder::new()
            .description("Nothing changed since it was read with the tag in `If-None-Match`.")
            .header("ETag", tag);
        responses.insert("304".into(), same.build().into());
    }
    if !["/up", "/readyz"].contains(&route.path.as_str()) {
        responses.extend(describe(vec![HttpError::TooManyRequests { seconds: 1 }]));
    }
    let id = HeaderBuilder::new()
        .description(Some(
            "Names the request, as the log does: the one that came with it, else a new one.",
        ))
        .build();
    for response in responses.values_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        response
            .headers
            .insert("X-Request-Id".into(), id.clone().into());
        for (name, example) in HEADERS {
            if let Some(RefOr::T(header)) = response.headers.get_mut(name) {
                header.example = Some(example.into());
            }
        }
    }
}

/// As it is sent; made once.
static JSON: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(document().to_json().unwrap_or_default()));

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "describe",
    tag = "Operation",
    responses((
        status = 200,
        description = "OpenAPI 3.1. `/docs` shows it as a page.",
        body = Object,
        example = json!({"openapi": "3.1.0", "info": {"title": "Confab", "version": "0.1.0"}, "paths": {}}),
    )),
)]
pub async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType::json())
        .body(JSON.clone())
}
