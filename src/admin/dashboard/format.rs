//! Numbers and times in words.

use std::time::Duration;

use indicatif::HumanCount;

use crate::domain::{Timestamp, time::rfc3339};

/// `20,000`
pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `350 ms`, `4.2 s`, `3 min`, `5 h`, `2 d`
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `2.41 ms`, for what is over in no time.
pub fn latency(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// `2026-11-23 21:16:44`, in UTC.
pub fn moment(time: Timestamp) -> String {
    rfc3339(time)[..19].replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_fitting_units() {
        for (millis, text) in [
            (350, "350 ms"),
            (4200, "4.2 s"),
            (119_000, "119 s"),
            (180_000, "3 min"),
            (86_400_000, "24 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
