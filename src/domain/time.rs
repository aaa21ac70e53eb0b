//! Points in time, in UTC and whole milliseconds.

use chrono::{DateTime, SecondsFormat, Utc};

/// Point in time. It is stored and shown in whole milliseconds.
pub type Timestamp = DateTime<Utc>;

/// Clock of leases, retries and dates: that of this machine or of the Redis server, moved by an offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// Offset in milliseconds; 0 outside tests.
    pub offset: i64,
}

impl Clock {
    /// Returns the time of this machine, moved by the offset, in milliseconds since 1970.
    pub fn now(self) -> i64 {
        Utc::now().timestamp_millis().saturating_add(self.offset)
    }
}

/// Converts milliseconds since 1970. A time outside the calendar becomes 1970.
pub fn from_millis(millis: i64) -> Timestamp {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// RFC 3339 with milliseconds and `Z`: `2026-11-23T21:16:44.120Z`.
pub fn rfc3339(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
