//! Values in the JSON output of commands and of the administration.

use std::fmt::Display;

use serde::Serializer;

use super::{Timestamp, time::rfc3339};

/// Serializes a key or an ID as its text.
pub fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Serializes a time in RFC 3339.
pub fn as_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// Serializes a time in RFC 3339, or `null`.
pub fn as_time_if_any<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&time.map(rfc3339))
}
