//! `/docs`: Swagger UI, embedded in the binary, to try out the API.

use std::sync::{Arc, LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_TYPE, LOCATION},
};
use utoipa_swagger_ui::{Config, serve};

use crate::{
    domain::Error,
    http::{
        error::{HttpError, HttpResult},
        extract::path::segment,
        response::page,
    },
};

/// The page's references are relative, so that it works behind a proxy that serves it below a path.
static CONFIG: LazyLock<Arc<Config<'_>>> = LazyLock::new(|| {
    let config = Config::from("../openapi.json")
        .try_it_out_enabled(true)
        .display_request_duration(true)
        // By default, Swagger UI sends the description to a validator on the internet.
        .validator_url("none");
    Arc::new(config)
});

/// Content security policy: no other origins. Swagger UI sets inline styles and has its images in `data:` URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /docs`: redirects to `/docs/`, because the links of the page are relative to a folder.
pub async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "docs/"))
        .finish()
}

/// `GET /docs/{file}`: a file of Swagger UI.
pub async fn file(request: HttpRequest) -> HttpResult {
    let file = serve(&segment(&request, "file"), CONFIG.clone());
    let file = file.map_err(|error| Error::Internal {
        detail: format!("Swagger UI: {error}"),
    })?;
    let file = file.ok_or(HttpError::NoSuchPath)?;
    Ok(page(POLICY)
        .insert_header((CONTENT_TYPE, file.content_type))
        .body(file.bytes.into_owned()))
}
