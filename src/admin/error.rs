//! Error responses: JSON for programs, a page for browsers.

use std::fmt;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ContentType, RETRY_AFTER},
    },
};
use serde_json::json;

use super::page;
use crate::maintenance::JobError;

/// Path prefix of the API for programs.
pub const API: &str = "/api/";

/// Why a request was not done.
#[derive(Debug)]
pub enum AdminError {
    /// The use case's own.
    Jobs(JobError),
    /// A parameter that is none of those that there are.
    Parameter(String),
    /// Path of no route.
    NoSuchPage,
}

impl<E: Into<JobError>> From<E> for AdminError {
    fn from(error: E) -> Self {
        Self::Jobs(error.into())
    }
}

/// Text for an operator, with the details that stores gave.
impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs(error) => error.fmt(f),
            Self::Parameter(rule) => f.write_str(rule),
            Self::NoSuchPage => f.write_str("Not found"),
        }
    }
}

impl ResponseError for AdminError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Jobs(JobError::Missing(_)) | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::Jobs(JobError::Refused { .. }) => StatusCode::CONFLICT,
            Self::Jobs(JobError::Store(error)) if error.is_outage() => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Jobs(JobError::Store(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Parameter(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn error_response(&self) -> HttpResponse {
        as_json(self.status_code(), &self.to_string())
    }
}

/// Answers what no route is for.
pub async fn no_such_page(request: HttpRequest) -> HttpResponse {
    error_response(
        request.path(),
        StatusCode::NOT_FOUND,
        &AdminError::NoSuchPage.to_string(),
    )
}

/// Error response in the format of the path: JSON or a page.
pub fn error_response(path: &str, status: StatusCode, why: &str) -> HttpResponse {
    if path.starts_with(API) {
        as_json(status, why)
    } else {
        let title = status.canonical_reason().unwrap_or("Refused");
        HttpResponse::build(status)
            .content_type(ContentType::html())
            .body(page::error_response(title, why).into_string())
    }
}

fn as_json(status: StatusCode, why: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, "1"));
    }
    response.json(json!({ "error": why }))
}
