//! What goes for every read: a tag by which a client asks whether anything changed, and compression.

use std::{
    hash::{DefaultHasher, Hasher},
    io::{self, Write},
};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, AcceptEncoding, CONTENT_ENCODING, CONTENT_TYPE, ETAG, Encoding,
            HeaderMap, HeaderValue, IF_NONE_MATCH, VARY,
        },
    },
    middleware::Next,
    web::Bytes,
};
use flate2::{Compression, write::GzEncoder};
use tokio::task::spawn_blocking;

/// Answers up to this many bytes fit a packet or two anyway.
const WORTH_PACKING: usize = 1024;

/// Answers beyond this many bytes are compressed beside the threads that answer.
const LONG: usize = 64 * 1024;

/// Answers a GET or HEAD; 304 without a body where the client has what it would get.
///
/// # Errors
///
/// The handler's.
pub async fn read(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let known = request.headers().get_all(IF_NONE_MATCH).cloned().collect();
    let packed = wants_gzip(&request);
    let response = next.call(request).await?;
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) => body,
        Err(body) => return Ok(ServiceResponse::new(request, response.set_body(body))),
    };
    let (tag, value) = tag(&body);
    if let Some(value) = value {
        response.headers_mut().insert(ETAG, value);
    }
    if is_known(known, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(CONTENT_TYPE);
        return Ok(ServiceResponse::new(
            request,
            response.set_body(BoxBody::new(())),
        ));
    }
    let mut body = body;
    if body.len() > WORTH_PACKING && !is_picture(response.headers()) {
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        if packed && let Some(gzip) = pack(body.clone()).await {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            body = gzip;
        }
    }
    Ok(ServiceResponse::new(
        request,
        response.set_body(BoxBody::new(body)),
    ))
}

/// A weak tag, as the compressed form has the same, and its header. Another build may give another one: then a client
/// reads once more than it had to.
fn tag(body: &[u8]) -> (String, Option<HeaderValue>) {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let value = HeaderValue::from_str(&format!("W/{tag}")).ok();
    (tag, value)
}

/// Whether one of a request's `If-None-Match` headers names this tag, weak or not, or any.
fn is_known(known: Vec<HeaderValue>, tag: &str) -> bool {
    known
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn wants_gzip(request: &ServiceRequest) -> bool {
    if !request.headers().contains_key(ACCEPT_ENCODING) {
        return false;
    }
    let offered = [Encoding::gzip(), Encoding::identity()];
    let chosen = request
        .get_header::<AcceptEncoding>()
        .and_then(|accepted| accepted.negotiate(offered.iter()));
    chosen == Some(Encoding::gzip())
}

fn is_picture(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"image/"))
}

/// The compressed form; if there is none, it is sent as it is.
async fn pack(body: Bytes) -> Option<Bytes> {
    let long = body.len() > LONG;
    let pack = move || -> io::Result<Bytes> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body)?;
        encoder.finish().map(Bytes::from)
    };
    if long {
        spawn_blocking(pack).await.ok()?.ok()
    } else {
        pack().ok()
    }
}
