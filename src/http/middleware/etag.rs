//! ETag and cache headers of a GET response, 304 for a client that has the current version, and compression.
//!
//! A handler that knows the version of what it returns sets a strong ETag; that response is not compressed. Other responses get
//! a weak ETag, made from their body.

use std::hash::{DefaultHasher, Hasher};

use actix_web::{
    Error, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY,
        },
    },
    middleware::Next,
    web::Data,
};

use super::compression::{accepts_gzip, compress};
use crate::http::memory::{Reservation, ResponseMemory};

/// Completes a 200 response: adds its ETag and cache headers and compresses it, or makes it a 304 if `If-None-Match` has the ETag.
pub async fn complete(
    memory: Data<ResponseMemory>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let known: Vec<_> = request.headers().get_all(IF_NONE_MATCH).cloned().collect();
    let accepts_gzip = accepts_gzip(&request);
    let response = next.call(request).await?;
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) => {
            let headers = response.headers_mut();
            // Clients may keep a response, but must ask for changes before they use it again.
            if !headers.contains_key(CACHE_CONTROL) {
                let revalidate = HeaderValue::from_static("private, no-cache");
                headers.insert(CACHE_CONTROL, revalidate);
            }
            headers.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
            let strong = headers.get(ETAG).cloned();
            let etag = match &strong {
                Some(etag) => etag.to_str().unwrap_or_default().to_owned(),
                None => etag(&body),
            };
            // Weak, because the compressed body has the same ETag.
            if strong.is_none()
                && let Ok(etag) = HeaderValue::from_str(&format!("W/{etag}"))
            {
                headers.insert(ETAG, etag);
            }
            if matches(&known, &etag) {
                headers.remove(CONTENT_TYPE);
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                BoxBody::new(())
            } else {
                let compresses = accepts_gzip && strong.is_none();
                let body = compress(headers, body, compresses).await;
                let reservation = response.extensions_mut().remove::<Reservation>();
                match memory.body(body, reservation).await {
                    Ok(body) => body,
                    Err(error) => {
                        let response = error.error_response();
                        return Ok(ServiceResponse::new(request, response));
                    }
                }
            }
        }
        Err(body) => body,
    };
    Ok(ServiceResponse::new(request, response.set_body(body)))
}

/// Quoted hash of a body. Another build may return another one; the client then reads the body once more.
fn etag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("\"{:016x}\"", hasher.finish())
}

/// Compares an ETag, weakly, with the `If-None-Match` headers of a request.
fn matches(known: &[HeaderValue], etag: &str) -> bool {
    known
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}
