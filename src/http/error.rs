//! Errors as clients see them: one body, and one table from meaning to status.

use std::fmt;

use actix_web::{
    HttpMessage as _, HttpResponse, ResponseError,
    dev::ServiceResponse,
    http::{StatusCode, header},
};
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

use crate::domain::{Error, Invalid, RequestId};

/// The largest request body, in bytes: 16,000 escaped characters outside the BMP take 192,000.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// How soon a client may try again, in seconds.
const RETRY_AFTER: u64 = 1;

/// What can go wrong on the way to a use case, or in it.
#[derive(Debug)]
pub enum HttpError {
    /// The use case's own.
    Domain(Error),
    /// No route has this path.
    NoSuchPath,
    /// The path has other methods.
    MethodNotAllowed {
        /// Which, as in the `Allow` header.
        allow: String,
    },
    /// The body is longer than [`MAX_BODY_BYTES`].
    BodyTooLarge,
    /// The body is declared as something else than JSON.
    NotDeclaredJson,
    /// The body broke off.
    BodyUnreadable,
    /// The client makes more than `limits.requests_per_second`.
    TooManyRequests {
        /// How long it has to wait, in seconds.
        seconds: u64,
    },
    /// The body did not arrive in time.
    BodyTooSlow,
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self::Domain(error)
    }
}

impl From<Invalid> for HttpError {
    fn from(invalid: Invalid) -> Self {
        Self::Domain(Error::Invalid(invalid))
    }
}

/// The text that the client is shown: nothing of what stores said.
impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(error @ (Error::Invalid(_) | Error::NotFound(_))) => error.fmt(f),
            Self::Domain(Error::Unavailable { .. }) => {
                f.write_str("Try again shortly: a store is out of reach")
            }
            Self::Domain(Error::Full { .. }) => f.write_str("Try again shortly: the queue is full"),
            Self::Domain(Error::Internal { .. }) => f.write_str("Internal error"),
            Self::NoSuchPath => f.write_str("Not found"),
            Self::MethodNotAllowed { .. } => f.write_str("Method not allowed"),
            Self::BodyTooLarge => write!(f, "Body must be at most {MAX_BODY_BYTES} bytes"),
            Self::TooManyRequests { .. } => f.write_str("Too many requests"),
            Self::NotDeclaredJson => f.write_str("Content-Type must be application/json"),
            Self::BodyUnreadable => f.write_str("Body could not be read to its end"),
            Self::BodyTooSlow => f.write_str("Body took too long to arrive"),
        }
    }
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error, example = json!({"error": "Message is required"}))]
pub struct ErrorBody {
    /// What is wrong: a fixed text, or one that names the field and the rule.
    error: String,
}

impl HttpError {
    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Domain(Error::Invalid(_)) | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::Domain(Error::NotFound(_)) | Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Domain(Error::Unavailable { .. } | Error::Full { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Domain(Error::Internal { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotDeclaredJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// How soon it is worth another try, in seconds, if that would help.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Domain(Error::Unavailable { .. } | Error::Full { .. }) => Some(RETRY_AFTER),
            Self::TooManyRequests { seconds } => Some(*seconds),
            _ => None,
        }
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Self::MethodNotAllowed { allow } = self {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        response.json(ErrorBody {
            error: self.to_string(),
        })
    }
}

/// Logs why a request failed, where a store or a bug is the reason.
pub fn log<B>(response: &ServiceResponse<B>) {
    let error = response.response().error();
    let Some(HttpError::Domain(error)) = error.and_then(|error| error.as_error()) else {
        return;
    };
    let extensions = response.request().extensions();
    let request = extensions.get::<RequestId>().map(RequestId::as_str);
    match error {
        Error::Unavailable { .. } | Error::Full { .. } => warn!(request, %error, "turned away"),
        Error::Internal { .. } => error!(request, %error),
        Error::Invalid(_) | Error::NotFound(_) => {}
    }
}
