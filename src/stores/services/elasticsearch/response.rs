//! Responses of Elasticsearch, and their errors.

use std::error::Error as _;

use actix_web::web::Bytes;
use elasticsearch::http::response::Response;
use futures_util::future::BoxFuture;
use serde::{Deserialize, de::DeserializeOwned};

use super::{failed, unavailable};
use crate::stores::Error;

/// Rejection of a request, or of one item of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rejection {
    /// No answer that can be read came in time.
    NoResponse(String),
    /// Error response.
    Status {
        /// The HTTP status, or the item's.
        status: u16,
        /// Elasticsearch's name of the error.
        kind: String,
        /// Reason.
        reason: String,
    },
}

impl Rejection {
    /// Tells whether the data is not the cause, so that a later attempt may succeed. Wrong credentials, a missing right
    /// and a closed index must be fixed by the operator; documents wait until then.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::NoResponse(_) => true,
            Self::Status { status, kind, .. } => {
                matches!(status, 401 | 403 | 407 | 408 | 429 | 500..)
                    || kind == "index_closed_exception"
            }
        }
    }

    /// Tells whether the index does not exist.
    pub(super) fn is_missing_index(&self) -> bool {
        self.is_kind("index_not_found_exception")
    }

    /// Tells whether it has this error type.
    pub(super) fn is_kind(&self, name: &str) -> bool {
        matches!(self, Self::Status { kind, .. } if kind == name)
    }

    /// Tells whether it has this status.
    pub(super) fn is_status(&self, code: u16) -> bool {
        matches!(self, Self::Status { status, .. } if *status == code)
    }

    /// Converts the rejection into the error of `index`.
    pub(super) fn error(&self, index: &str) -> Error {
        if self.is_missing_index() {
            Error::IndexMissing(index.into())
        } else if self.is_outage() {
            unavailable(self.detail())
        } else {
            failed(self.detail())
        }
    }

    /// Describes the rejection.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::NoResponse(detail) => detail.clone(),
            Self::Status {
                status,
                kind,
                reason,
            } => [&status.to_string(), kind, reason]
                .into_iter()
                .filter(|part| !part.is_empty())
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// Outcome of sending a request.
pub(super) type Sent = Result<Response, elasticsearch::Error>;

/// Status and body of a response.
pub(super) type StatusAndBody = (u16, Bytes);

/// Reads the body of a response that is no refusal.
pub(super) async fn read(sent: BoxFuture<'_, Sent>) -> Result<StatusAndBody, Rejection> {
    let response = sent.await.map_err(no_response)?;
    let status = response.status_code();
    let body = response.bytes().await.map_err(no_response)?;
    match status.is_success() {
        true => Ok((status.as_u16(), body)),
        false => Err(rejection(status.as_u16(), &body)),
    }
}

/// Parses the body of a response.
pub(super) fn parse<T: DeserializeOwned>((status, body): StatusAndBody) -> Result<T, Rejection> {
    serde_json::from_slice(&body).map_err(|error| Rejection::Status {
        status,
        kind: "unreadable".into(),
        reason: error.to_string(),
    })
}

/// The whole chain: the client's own words alone are but "error sending request".
fn no_response(error: elasticsearch::Error) -> Rejection {
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !detail.ends_with(&text) {
            detail = format!("{detail}: {text}");
        }
        source = error.source();
    }
    Rejection::NoResponse(detail)
}

#[derive(Deserialize)]
struct Body {
    error: ErrorInfo,
}

/// An error as Elasticsearch describes it. Some are but a sentence.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ErrorInfo {
    Typed {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        reason: Option<String>,
        /// Causes, where the outer reason is "all shards failed".
        #[serde(default)]
        root_cause: Vec<Cause>,
        /// Cause, where no shard received the request.
        caused_by: Option<Cause>,
    },
    Text(String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Cause {
    reason: Option<String>,
}

impl ErrorInfo {
    /// Adds the status.
    pub(super) fn with_status(self, status: u16) -> Rejection {
        let (kind, reason) = match self {
            Self::Text(reason) => (String::new(), reason),
            Self::Typed {
                kind,
                reason,
                root_cause,
                caused_by,
            } => {
                let causes = root_cause.into_iter().chain(caused_by);
                let mut reasons = causes.map(|cause| cause.reason).chain([reason]).flatten();
                let reason = reasons.find(|reason| !reason.is_empty());
                (kind, reason.unwrap_or_default())
            }
        };
        Rejection::Status {
            status,
            kind,
            reason,
        }
    }
}

fn rejection(status: u16, body: &[u8]) -> Rejection {
    match serde_json::from_slice::<Body>(body) {
        Ok(body) => body.error.with_status(status),
        // The body of a proxy's error is not JSON and is not logged.
        Err(_) => ErrorInfo::Text("no error object in the response".into()).with_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let missing = br#"{"error":{"root_cause":[{"reason":"no such index [confab]"}],
            "type":"index_not_found_exception","reason":"no such index [confab]"},"status":404}"#;
        assert_eq!(
            rejection(404, missing).error("confab"),
            Error::IndexMissing("confab".into())
        );
        let shards = br#"{"error":{"root_cause":[{"type":"x","reason":"why"}],
            "type":"search_phase_execution_exception","reason":"all shards failed"},"status":503}"#;
        assert_eq!(
            rejection(503, shards).error("confab"),
            unavailable("503 search_phase_execution_exception why")
        );
        let unasked = br#"{"error":{"root_cause":[],"type":"search_phase_execution_exception",
            "reason":"","caused_by":{"type":"x","reason":"why"}},"status":503}"#;
        assert_eq!(
            rejection(503, unasked).detail(),
            "503 search_phase_execution_exception why"
        );
        assert!(rejection(502, b"<html>").is_outage());
        assert!(!rejection(400, br#"{"error":"no handler found"}"#).is_outage());
        assert!(matches!(
            rejection(404, br#"{"error":"alias [confab] missing","status":404}"#).error("confab"),
            Error::Failed { .. }
        ));
    }
}
