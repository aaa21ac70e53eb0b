//! Access control of the admin listener, and protection against other sites.
//!
//! A page of another site that is open in an operator's browser can send requests to this machine's ports. It must not
//! read anything: if it gives its own name this machine's address, the `Host` header shows it. It must not change
//! anything either: a form needs no permission, but `Origin` and `Sec-Fetch-Site` show its origin. A token does not
//! replace these checks, because a browser sends a stored password along with such a form.

use actix_web::{
    Error, HttpMessage as _, HttpResponse, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName,
            HeaderValue, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq as _;

use super::error::{AdminError, error_response};
use crate::{
    config::{self, Secret},
    listener::{cross_site::is_cross_site, host::names_this_machine},
};

/// Headers of every response. With `no-referrer` a browser would hide the origin of the dashboard's own forms.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Access rules of the settings.
pub struct AccessPolicy {
    local: bool,
    token: Option<Secret>,
}

impl AccessPolicy {
    /// Creates the rules of these settings.
    pub fn new(settings: &config::Admin) -> Self {
        let token = settings.token.clone();
        Self {
            local: settings.is_local(),
            token: (!token.expose().is_empty()).then_some(token),
        }
    }

    /// Returns the rule that a request violates, as status and text.
    fn violation(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<(StatusCode, &'static str)> {
        let host = text(headers, &HOST).unwrap_or_default();
        if self.local && !names_this_machine(host) {
            let why = "The Host header must name this machine: localhost or a loopback address";
            return Some((StatusCode::FORBIDDEN, why));
        }
        if let Some(token) = &self.token
            && !has_token(headers, token)
        {
            return Some((StatusCode::UNAUTHORIZED, "The admin token is required"));
        }
        if !method.is_safe() && is_cross_site(headers, &[host], &[]) {
            return Some((StatusCode::FORBIDDEN, "Rejected: sent by another site"));
        }
        None
    }
}

/// Passes a request to its handler, or rejects it.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let access = request.app_data::<Data<AccessPolicy>>().cloned();
    let violation = match access {
        Some(access) => access.violation(request.method(), request.headers()),
        None => Some((StatusCode::INTERNAL_SERVER_ERROR, "No access policy")),
    };
    let mut response = match violation {
        None => as_page(next.call(request).await?.map_into_boxed_body()),
        Some((status, why)) => {
            // The body is not read. The rest of it must not be parsed as the next request.
            drop(request.extensions());
            let mut refused: HttpResponse = error_response(request.path(), status, why);
            if status == StatusCode::UNAUTHORIZED {
                let challenge =
                    HeaderValue::from_static("Basic realm=\"confab\", charset=\"UTF-8\"");
                refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            request.into_response(refused)
        }
    };
    for (name, value) in HEADERS {
        let headers = response.headers_mut();
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

/// Handlers fail in JSON; people are shown a page.
fn as_page(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let error = response.response().error();
    let Some(error) = error.and_then(|error| error.as_error::<AdminError>()) else {
        return response;
    };
    let text = error_response(
        response.request().path(),
        error.status_code(),
        &error.to_string(),
    );
    response.into_response(text)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or_default())
}

/// Checks that the token is present, as a bearer token or as the password of basic authentication. The time that this
/// takes reveals at most the length of the token.
fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let Some((scheme, credentials)) =
        text(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    let given_token = if scheme.eq_ignore_ascii_case("bearer") {
        credentials.trim().as_bytes().to_vec()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = BASE64_STANDARD
            .decode(credentials.trim())
            .unwrap_or_default();
        let colon = pair.iter().position(|byte| *byte == b':');
        colon.map_or_else(Vec::new, |colon| pair[colon + 1..].to_vec())
    } else {
        return false;
    };
    given_token.ct_eq(token.expose().as_bytes()).into()
}
