//! What SQLite's errors mean.

use std::{any::Any, fmt::Display};

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::stores::Error;

/// What the errors of this store are told by.
pub(super) const STORE: &str = "SQLite";

/// What ends a transaction: SQLite, or what is found there.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite said so.
    Database(DieselError),
    /// What was asked for cannot be; nothing is wrong with the file.
    Store(Error),
}

/// The outcome of what runs on a connection.
pub(super) type Outcome<T> = std::result::Result<T, Failure>;

impl From<DieselError> for Failure {
    fn from(error: DieselError) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// What an error of diesel means for the batch that met it. diesel passes on the text only, not the number; what is not
/// known by its text is taken for an outage: that costs a wait, never a job.
pub(super) fn classify(file: &dyn Display, error: &DieselError) -> Error {
    let detail = error.to_string();
    let hint = |what: &str| format!("{file}: {detail}: {what}");
    match error {
        DieselError::DatabaseError(
            DatabaseErrorKind::NotNullViolation | DatabaseErrorKind::CheckViolation,
            _,
        )
        | DieselError::SerializationError(_) => Error::Rejected {
            store: STORE,
            detail,
        },
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)
        | DieselError::DeserializationError(_) => failed(format!("{file}: {detail}")),
        _ if detail.contains("string or blob too big") => Error::Rejected {
            store: STORE,
            detail,
        },
        _ if detail.contains("malformed") || detail.contains("not a database") => failed(hint(
            "the file is damaged; stop confab, keep a copy of it, and put back a backup or try sqlite3's .recover",
        )),
        _ if detail.contains("disk is full") => {
            unavailable(hint("make room; nothing that was answered is lost"))
        }
        _ if detail.contains("disk I/O error") => unavailable(hint("the disk fails, or is full")),
        _ if detail.contains("readonly") => {
            unavailable(hint("the file and its folder must be writable"))
        }
        _ if detail.contains("no such table") => unavailable(hint(
            "the file has no schema yet; `confab migrate` makes it",
        )),
        _ => unavailable(format!("{file}: {detail}")),
    }
}

/// An outage.
pub(super) fn unavailable(detail: impl Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: detail.to_string(),
    }
}

/// What should not happen.
pub(super) fn failed(detail: impl Display) -> Error {
    Error::Failed {
        store: STORE,
        detail: detail.to_string(),
    }
}

/// What a panic said.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    failed(format!("panicked: {}", message.unwrap_or_default()))
}
