//! Headers and bodies that all errors share.

use actix_cors::CorsError;
use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue, ORIGIN, VARY},
    middleware::Next,
};

use crate::http::error::HttpError;

/// Completes an error: caches must not store it, and a refused preflight gets the body of all errors.
pub async fn complete(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    if !(response.status().is_client_error() || response.status().is_server_error()) {
        return Ok(response);
    }
    let error = response.response().error();
    let refused = error.and_then(|error| error.as_error::<CorsError>().cloned());
    let mut response = match refused {
        Some(error) => {
            let request = response.into_parts().0;
            let refusal = refusal(&request, error);
            ServiceResponse::new(request, refusal)
        }
        None => response,
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

/// Response to a preflight request of an origin or method that is not allowed. If the origin is allowed, its page can
/// read the response.
fn refusal(request: &HttpRequest, error: CorsError) -> HttpResponse {
    let origin = match error {
        CorsError::OriginNotAllowed | CorsError::MissingOrigin => None,
        _ => request.headers().get(ORIGIN).cloned(),
    };
    let mut response = HttpError::PreflightRefused(error).error_response();
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(VARY, HeaderValue::from_name(ORIGIN));
    response
}
