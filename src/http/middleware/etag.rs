//! ETag of a GET response, and 304 for a client that has the current version.

use std::hash::{DefaultHasher, Hasher};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH},
    },
    middleware::Next,
};

/// Adds the `ETag` of a 200 response; makes it a 304 without a body if the request's `If-None-Match` matches.
pub async fn add(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let known: Vec<HeaderValue> = request.headers().get_all(IF_NONE_MATCH).cloned().collect();
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
    let tag = tag(&body);
    // Weak, because the compressed body has the same ETag.
    if let Ok(value) = HeaderValue::from_str(&format!("W/{tag}")) {
        response.headers_mut().insert(ETAG, value);
    }
    if matches(&known, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(CONTENT_TYPE);
        return Ok(ServiceResponse::new(
            request,
            response.set_body(BoxBody::new(())),
        ));
    }
    Ok(ServiceResponse::new(
        request,
        response.set_body(BoxBody::new(body)),
    ))
}

/// Quoted hash of a body. Another build may return another one; the client then reads the body once more.
fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("\"{:016x}\"", hasher.finish())
}

/// Compares a tag, weakly, with the `If-None-Match` headers of a request.
fn matches(known: &[HeaderValue], tag: &str) -> bool {
    known
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
