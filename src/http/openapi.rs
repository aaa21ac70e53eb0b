//! Description of the API: OpenAPI 3.1, made from the routes.

use utoipa::{
    OpenApi,
    openapi::{
        OpenApi as Document, RefOr, Response,
        header::{Header, HeaderBuilder},
        path::Operation,
        response::ResponseBuilder,
    },
};

use super::{
    error::{ErrorBody, HttpError},
    error_responses::describe,
    routes,
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
    components(schemas(ErrorBody)),
)]
struct Info;

/// Returns the description.
pub fn document() -> Document {
    let mut document = Info::openapi().merge_from(routes::Description::openapi());
    for (path, item) in &mut document.paths.paths {
        if let Some(get) = &mut item.get {
            describe_read(get);
        }
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            if !["/up", "/readyz"].contains(&path.as_str()) {
                let limited = describe(vec![HttpError::TooManyRequests { seconds: 1 }]);
                operation.responses.responses.extend(limited);
            }
            describe_headers(operation);
        }
    }
    document
}

/// Adds what the middlewares and the service do for every GET.
fn describe_read(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    // Only routes that read from the stores can fail with 500.
    let reads_stores = responses.contains_key("500");
    let Some(RefOr::T(success)) = responses.get_mut("200") else {
        return;
    };
    if reads_stores {
        let stale = "`stale`: the queue was out of reach, so only what is stored could be read.";
        let mut state = header(stale);
        state.example = Some("stale".into());
        success.headers.insert("Confab-State".into(), state.into());
    }
    let etag = header("For `If-None-Match`.");
    success.headers.insert("ETag".into(), etag.clone().into());
    let not_modified = ResponseBuilder::new()
        .description("Nothing changed since it was read with the tag in `If-None-Match`.")
        .header("ETag", etag);
    responses.insert("304".into(), not_modified.build().into());
}

/// Examples of headers.
const HEADERS: [(&str, &str); 4] = [
    ("X-Request-Id", "9f2c1a7be04d3358"),
    ("ETag", "W/\"8c3f1a0e5b7d9246\""),
    ("Location", "/application/dec969c6/chat/5/message/3"),
    (
        "Link",
        "</application/dec969c6/chats?limit=10&after=20>; rel=\"next\"",
    ),
];

/// Adds the request's ID and the examples of headers to every response.
fn describe_headers(operation: &mut Operation) {
    let id =
        header("Names the request, as the log does: the one that came with it, else a new one.");
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(Response { headers, .. }) = response else {
            continue;
        };
        headers.insert("X-Request-Id".into(), id.clone().into());
        for (name, example) in HEADERS {
            if let Some(RefOr::T(header)) = headers.get_mut(name) {
                header.example = Some(example.into());
            }
        }
    }
}

fn header(description: &str) -> Header {
    HeaderBuilder::new().description(Some(description)).build()
}
