//! Compression of responses.

use std::io::{self, Write};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, AcceptEncoding, CONTENT_ENCODING, CONTENT_TYPE, Encoding, HeaderMap,
            HeaderValue, VARY,
        },
    },
    middleware::Next,
    web::Bytes,
};
use flate2::{Compression, write::GzEncoder};
use tokio::task::spawn_blocking;

/// Size in bytes up to which a response is not compressed: it fits a packet or two.
const MIN_BYTES: usize = 1024;

/// Size in bytes beyond which a response is compressed on a blocking thread.
const BLOCKING_BYTES: usize = 64 * 1024;

/// Compresses a 200 response of more than 1 KiB with gzip if the client accepts it.
pub async fn compress(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let accepted = accepts_gzip(&request);
    let response = next.call(request).await?;
    if response.status() != StatusCode::OK || is_image(response.headers()) {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) if body.len() > MIN_BYTES => {
            let headers = response.headers_mut();
            headers.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
            let gzip = if accepted {
                gzip(body.clone()).await
            } else {
                None
            };
            if gzip.is_some() {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            BoxBody::new(gzip.unwrap_or(body))
        }
        Ok(body) => BoxBody::new(body),
        Err(body) => body,
    };
    Ok(ServiceResponse::new(request, response.set_body(body)))
}

fn accepts_gzip(request: &ServiceRequest) -> bool {
    if !request.headers().contains_key(ACCEPT_ENCODING) {
        return false;
    }
    let offered = [Encoding::gzip(), Encoding::identity()];
    let chosen = request
        .get_header::<AcceptEncoding>()
        .and_then(|accepted| accepted.negotiate(offered.iter()));
    chosen == Some(Encoding::gzip())
}

fn is_image(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    media_type.is_some_and(|media_type| media_type.starts_with(b"image/"))
}

/// Compresses a body; `None` if that fails.
async fn gzip(body: Bytes) -> Option<Bytes> {
    let blocking = body.len() > BLOCKING_BYTES;
    let encode = move || -> io::Result<Bytes> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body)?;
        encoder.finish().map(Bytes::from)
    };
    if blocking {
        spawn_blocking(encode).await.ok()?.ok()
    } else {
        encode().ok()
    }
}
