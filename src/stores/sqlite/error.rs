//! Errors of SQLite.

use std::{any::Any, fmt::Display};

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::stores::Error;

/// Name of this store in errors.
pub(super) const STORE: &str = "SQLite";

/// Failure of a transaction.
#[derive(Debug)]
pub(super) enum Failure {
    /// Error of SQLite.
    Database(DieselError),
    /// Error that is no fault of the file.
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

/// Texts of SQLite's errors that are no fault of the data, as diesel passes on the text only. SQLite has them in English
/// only.
const OUTAGES: [&str; 11] = [
    "database is locked",
    "database table is locked",
    "out of memory",
    "interrupted",
    "unable to open database file",
    "locking protocol",
    "database schema has changed",
    "not authorized",
    "access permission denied",
    "query aborted",
    "no such column",
];

/// Classifies an error of diesel. What is no known outage is the fault of the data, by whatever error SQLite, a constraint
/// or a trigger refuses it.
pub(super) fn classify(file: &dyn Display, error: &DieselError) -> Error {
    let detail = error.to_string();
    let hint = |what: &str| format!("{file}: {detail}: {what}");
    match error {
        DieselError::DatabaseError(
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation,
            _,
        )
        | DieselError::SerializationError(_) => rejected(detail),
        DieselError::DeserializationError(_) => failed(format!("{file}: {detail}")),
        _ if detail.contains("malformed") || detail.contains("not a database") => failed(hint(
            "the file is damaged; stop confab, keep a copy of it, then restore a backup or try sqlite3's .recover",
        )),
        _ if detail.contains("disk is full") => {
            unavailable(hint("free some space; accepted writes are not lost"))
        }
        _ if detail.contains("disk I/O error") => unavailable(hint("the disk is failing or full")),
        _ if detail.contains("readonly") => {
            unavailable(hint("the file and its folder must be writable"))
        }
        _ if detail.contains("no such table") => unavailable(hint(
            "the file has no schema yet; `confab migrate` creates it",
        )),
        DieselError::DatabaseError(..) if !OUTAGES.iter().any(|text| detail.contains(text)) => {
            rejected(detail)
        }
        _ => unavailable(format!("{file}: {detail}")),
    }
}

fn rejected(detail: String) -> Error {
    Error::Rejected {
        store: STORE,
        detail,
    }
}

/// An outage.
pub(super) fn unavailable(detail: impl Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: detail.to_string(),
    }
}

/// Makes the error of an unexpected failure.
pub(super) fn failed(detail: impl Display) -> Error {
    Error::Failed {
        store: STORE,
        detail: detail.to_string(),
    }
}

/// Makes the error of a panic, with its message.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    failed(format!("panicked: {}", message.unwrap_or_default()))
}
