//! Errors as clients receive them: one body, and one table of statuses.

use actix_cors::CorsError;
use actix_web::{
    HttpMessage as _, HttpResponse, ResponseError,
    dev::ServiceResponse,
    http::{StatusCode, header},
};
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

use crate::{
    auth::{AuthError, Refusal},
    domain::{Entity, Error, Invalid, RequestId},
};

/// The largest request body, in bytes: 16,000 escaped characters outside the BMP take 192,000.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Seconds after which a client may retry when a store is unavailable.
const RETRY_AFTER: u64 = 1;

/// Response of a handler, or the error that becomes one.
pub type HttpResult = Result<HttpResponse, HttpError>;

/// Error of a request. Its text is what the client receives.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Error of the use case.
    #[error("{}", text(.0))]
    Domain(#[from] Error),
    /// Path of no route.
    #[error("Not found")]
    NoSuchPath,
    /// Method that the path does not have.
    #[error("Method not allowed")]
    MethodNotAllowed {
        /// Methods of the path, as in the `Allow` header.
        allow: String,
    },
    /// Request without a credential.
    #[error("Credential is required")]
    CredentialRequired,
    /// Request with a credential that was valid.
    #[error("Credential has expired")]
    CredentialExpired,
    /// Request with a credential that is unknown, malformed or revoked.
    #[error("Credential is not valid")]
    CredentialInvalid,
    /// Request that its caller may not send.
    #[error("Not allowed: {0}")]
    NotAllowed(Refusal),
    /// Write that a browser sent for a page of another site.
    #[error(
        "Cross-site request: its origin is neither that of this server nor in server.cors_origins"
    )]
    CrossSite,
    /// Request on a loopback address for a name that is not this server's.
    #[error("Host must be a loopback name, or a name in server.hosts")]
    Misdirected,
    /// Body longer than [`MAX_BODY_BYTES`].
    #[error("Body must be at most {MAX_BODY_BYTES} bytes")]
    BodyTooLarge,
    /// Body whose `Content-Type` is not JSON.
    #[error("Content-Type must be application/json")]
    NotDeclaredJson,
    /// Body with a content coding.
    #[error("Content-Encoding must be identity")]
    Encoded,
    /// Body that ended early.
    #[error("Body could not be read to its end")]
    BodyUnreadable,
    /// Body that did not arrive in time.
    #[error("Body took too long to arrive")]
    BodyTooSlow,
    /// Preflight request of an origin or method that is not allowed.
    #[error("{0}")]
    PreflightRefused(CorsError),
    /// Response that would exceed `limits.response_bytes`, as clients take other responses too slowly.
    #[error("Try again shortly: too many responses are under way")]
    TooManyResponses,
    /// Request that would wait for changes, over the limit of `limits.waiting_requests`.
    #[error("Try again shortly: too many requests wait for changes")]
    TooManyWaiting,
    /// Request over the limit of `limits.requests_per_second`.
    #[error("Too many requests")]
    TooManyRequests {
        /// Seconds until the next request is accepted.
        seconds: u64,
    },
}

impl From<Invalid> for HttpError {
    fn from(invalid: Invalid) -> Self {
        Self::Domain(invalid.into())
    }
}

impl From<AuthError> for HttpError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Expired => Self::CredentialExpired,
            AuthError::Invalid => Self::CredentialInvalid,
            AuthError::Unavailable(error) => Self::Domain(error.into()),
        }
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // The same as for one that does not exist.
            Refusal::OtherApplication => Error::NotFound(Entity::Application).into(),
            Refusal::OtherChat => Error::NotFound(Entity::Chat).into(),
            Refusal::Right(_) => Self::NotAllowed(refusal),
        }
    }
}

/// Text of an error without the details, which are for the log.
fn text(error: &Error) -> String {
    match error {
        Error::Invalid(_)
        | Error::NotFound(_)
        | Error::KeyNotFound
        | Error::KeyReused
        | Error::Changed
        | Error::HistoryLost => error.to_string(),
        Error::OtherSender => "Not allowed: another sender's message".into(),
        Error::Unavailable { .. } => "Try again shortly: a store is out of reach".into(),
        Error::Full { .. } => "Try again shortly: the queue is full".into(),
        Error::Internal { .. } => "Internal error".into(),
    }
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error, example = json!({"error": "Message is required"}))]
pub struct ErrorBody {
    /// Message: a fixed text, or one that names the field and the rule.
    error: String,
}

impl HttpError {
    /// Value of the `Retry-After` header in seconds, if a retry can succeed.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Domain(Error::Unavailable { .. } | Error::Full { .. })
            | Self::TooManyResponses
            | Self::TooManyWaiting => Some(RETRY_AFTER),
            Self::TooManyRequests { seconds } => Some(*seconds),
            _ => None,
        }
    }

    /// Value of the `WWW-Authenticate` header, if access was refused (RFC 6750).
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::CredentialRequired => Some("Bearer"),
            Self::CredentialExpired => {
                Some("Bearer error=\"invalid_token\", error_description=\"expired\"")
            }
            Self::CredentialInvalid => Some("Bearer error=\"invalid_token\""),
            Self::NotAllowed(_) | Self::Domain(Error::OtherSender) => {
                Some("Bearer error=\"insufficient_scope\"")
            }
            _ => None,
        }
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Domain(Error::Invalid(_)) | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::Domain(Error::NotFound(_) | Error::KeyNotFound) | Self::NoSuchPath => {
                StatusCode::NOT_FOUND
            }
            Self::Domain(Error::Unavailable { .. } | Error::Full { .. })
            | Self::TooManyResponses
            | Self::TooManyWaiting => StatusCode::SERVICE_UNAVAILABLE,
            Self::Domain(Error::Internal { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::CredentialRequired | Self::CredentialExpired | Self::CredentialInvalid => {
                StatusCode::UNAUTHORIZED
            }
            Self::CrossSite | Self::NotAllowed(_) | Self::Domain(Error::OtherSender) => {
                StatusCode::FORBIDDEN
            }
            Self::Domain(Error::KeyReused) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Domain(Error::Changed) => StatusCode::PRECONDITION_FAILED,
            Self::Domain(Error::HistoryLost) => StatusCode::GONE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotDeclaredJson | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PreflightRefused(_) => StatusCode::FORBIDDEN,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(challenge) = self.challenge() {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Self::MethodNotAllowed { allow } = self {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        response.json(ErrorBody {
            error: self.to_string(),
        })
    }
}

/// Logs the error of a response, if a store or a bug caused it.
pub fn log<B>(response: &ServiceResponse<B>) {
    let error = response.response().error();
    let Some(HttpError::Domain(error)) = error.and_then(|error| error.as_error()) else {
        return;
    };
    let extensions = response.request().extensions();
    let request = extensions.get::<RequestId>().map(RequestId::as_str);
    match error {
        Error::Unavailable { .. } | Error::Full { .. } => {
            warn!(request, %error, "Request rejected with 503; the client may retry")
        }
        Error::Internal { .. } => error!(request, %error, "Request failed with 500"),
        Error::Invalid(_)
        | Error::NotFound(_)
        | Error::KeyNotFound
        | Error::OtherSender
        | Error::KeyReused
        | Error::Changed
        | Error::HistoryLost => {}
    }
}
