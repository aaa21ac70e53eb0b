//! Access control: who sent a request, and whether the route is for them.
//!
//! Every route of the API is behind [`check`]. It runs before any extractor of the handler, so an error of access comes before
//! the errors of the form, and before anything was read from the stores.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, HeaderMap},
    middleware::Next,
    web::Data,
};
use futures_util::FutureExt as _;

use crate::{
    auth::{Access, Auth, AuthMode, Caller},
    domain::{self, Actor},
    http::{
        error::HttpError,
        extract::{
            body::{self, LateCheck},
            path,
        },
    },
};

/// Scheme of the `Authorization` header.
const BEARER: &str = "Bearer";

/// Access rule of a route.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Requirement for callers.
    pub access: Access,
    /// Tells whether requests have a body, whose size is checked first.
    pub has_body: bool,
}

/// Identified caller of a request, until the route takes it.
struct Identified(Result<Caller, HttpError>);

/// Admits a request to its route, or responds with the first error of access. Handlers find the [`Caller`] in the request.
pub async fn check(
    rule: Rule,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match admit(rule, &mut request).await {
        Ok(()) => next.call(request).await,
        Err(error) => Ok(request.error_response(error)),
    }
}

async fn admit(rule: Rule, request: &mut ServiceRequest) -> Result<(), HttpError> {
    let auth = auth(request.request())?;
    if rule.access == Access::Public || auth.mode() == AuthMode::Open {
        request.extensions_mut().insert(Caller::Anyone);
        return Ok(());
    }
    // The order of errors is part of the contract.
    let (app, chat) = path::parts(request.request())?;
    let is_late = rule.has_body && body::check_size(request).await? > body::LATE;
    let identified = request.extensions_mut().remove::<Identified>();
    let caller = match identified {
        Some(Identified(caller)) if !is_late => caller?,
        _ => identify(&auth, request.request()).await?,
    };
    let admitted = rule.access.check(&caller, app, chat);
    // Also of a request that is refused: the access log names its caller.
    request.extensions_mut().insert(caller);
    Ok(admitted?)
}

/// Check of a request whose body was late.
pub fn late_check() -> LateCheck {
    LateCheck(|request| check_again(request).boxed_local())
}

/// Identifies the caller of an admitted request again, because its credential may have been revoked while the body arrived, or
/// while the request waited. The rights of a credential do not change, so only its validity is checked.
pub async fn check_again(request: HttpRequest) -> Result<(), HttpError> {
    let has_credential = |caller: &Caller| caller.key().is_some();
    if request.extensions().get().is_some_and(has_credential) {
        identify(&*auth(&request)?, &request).await?;
    }
    Ok(())
}

/// The keys and revocations that callers are checked with.
fn auth(request: &HttpRequest) -> Result<Data<Auth>, HttpError> {
    let auth = request.app_data::<Data<Auth>>().cloned();
    auth.ok_or_else(|| {
        let detail = "the server has no access control".into();
        domain::Error::Internal { detail }.into()
    })
}

/// Identifies the caller before the route is known, and keeps the outcome for the route. Returns the caller if the
/// credential is valid; `None` in open mode.
pub async fn identify_early(request: &HttpRequest) -> Result<Option<Caller>, HttpError> {
    let auth = auth(request)?;
    if auth.mode() == AuthMode::Open {
        return Ok(None);
    }
    let identified = identify(&auth, request).await;
    let caller = identified.as_ref().ok().cloned();
    request.extensions_mut().insert(Identified(identified));
    Ok(caller)
}

/// Identifies the caller of a request.
async fn identify(auth: &Arc<Auth>, request: &HttpRequest) -> Result<Caller, HttpError> {
    Ok(auth.caller(credential(request.headers())?).await?)
}

/// The caller of a request, as the access log names it; `None` without a valid credential.
pub fn actor(request: &HttpRequest) -> Option<Actor> {
    let extensions = request.extensions();
    let identified_early = || extensions.get::<Identified>()?.0.as_ref().ok();
    extensions
        .get::<Caller>()
        .or_else(identified_early)?
        .actor()
}

/// Credential in the headers.
///
/// # Errors
///
/// [`HttpError::CredentialRequired`] without one; one of another scheme than `Bearer` counts as none (RFC 6750, 3.1).
/// [`HttpError::CredentialInvalid`] for two of them, and for one that is no text.
fn credential(headers: &HeaderMap) -> Result<&str, HttpError> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next().ok_or(HttpError::CredentialRequired)?;
    if values.next().is_some() {
        return Err(HttpError::CredentialInvalid);
    }
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b' ');
    let (scheme, credential) = value.split_at(end.unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case(BEARER.as_bytes()) {
        return Err(HttpError::CredentialRequired);
    }
    let credential = str::from_utf8(credential).map_err(|_| HttpError::CredentialInvalid)?;
    Ok(credential.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_credential_is_read() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            match credential(&headers) {
                Ok(found) => found.to_owned(),
                Err(error) => format!("{error}"),
            }
        };
        const REQUIRED: &str = "Credential is required";
        const INVALID: &str = "Credential is not valid";
        assert_eq!(read(&[]), REQUIRED);
        for none in ["", "Basic YTpi", "cfb_x", "Bearer1 x", "Bearer\tx"] {
            assert_eq!(read(&[none]), REQUIRED, "{none:?}");
        }
        assert_eq!(read(&["Bearer x.y"]), "x.y");
        assert_eq!(read(&["bEARER   x"]), "x");
        // No key and no token.
        assert_eq!(read(&["Bearer"]), "");
        assert_eq!(read(&["Bearer x, Bearer y"]), "x, Bearer y");
        assert_eq!(read(&["Bearer x", "Bearer x"]), INVALID);
        assert_eq!(read(&["Basic YTpi", "Bearer x"]), INVALID);
    }
}
