//! Compression of responses.

use std::io::{self, Write};

use actix_web::{
    HttpMessage,
    dev::ServiceRequest,
    http::header::{
        ACCEPT_ENCODING, AcceptEncoding, CONTENT_ENCODING, CONTENT_TYPE, Encoding, HeaderMap,
        HeaderValue,
    },
    web::Bytes,
};
use flate2::{Compression, write::GzEncoder};
use tokio::task::spawn_blocking;

/// Size in bytes up to which a response is not compressed: it fits a packet or two.
const MIN_BYTES: usize = 1024;

/// Size in bytes beyond which a response is compressed on a blocking thread.
const BLOCKING_BYTES: usize = 64 * 1024;

/// Checks that a client prefers gzip to an uncompressed response.
pub fn accepts_gzip(request: &ServiceRequest) -> bool {
    if !request.headers().contains_key(ACCEPT_ENCODING) {
        return false;
    }
    let offered = [Encoding::gzip(), Encoding::identity()];
    let chosen = request
        .get_header::<AcceptEncoding>()
        .and_then(|accepted| accepted.negotiate(offered.iter()));
    chosen == Some(Encoding::gzip())
}

/// Compresses a body of more than 1 KiB that is not an image, and sets the header that says so.
pub async fn compress(headers: &mut HeaderMap, body: Bytes, accepts_gzip: bool) -> Bytes {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_image = media_type.is_some_and(|media_type| media_type.starts_with(b"image/"));
    if body.len() <= MIN_BYTES || is_image {
        return body;
    }
    if accepts_gzip && let Some(gzip) = gzip(body.clone()).await {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return gzip;
    }
    body
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
