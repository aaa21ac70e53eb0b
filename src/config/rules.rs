//! Allowed values of settings that are numbers or one of a few words.

use std::ops::RangeInclusive;

use config::ValueKind;

/// A day: longer times are mistakes, and some stores cannot represent them.
const DAY: i64 = 86_400_000;

/// Range of time limits in milliseconds. A call needs more than none.
const TIMEOUT: RangeInclusive<i64> = 10..=DAY;

/// Range of intervals in milliseconds that may be zero.
const PAUSE: RangeInclusive<i64> = 0..=DAY;

/// Upper bound of `auth.token_max_ttl_s`. The revocation of a user is kept for this time, so that no setting brings a
/// revoked token back.
pub const MAX_TOKEN_TTL_S: i64 = 86_400;

const PORT: RangeInclusive<i64> = 0..=65_535;

/// Range of every setting that is a number.
const NUMBERS: [(&str, RangeInclusive<i64>); 39] = [
    ("server.port", PORT),
    ("server.creation_port", PORT),
    ("server.connections", 1..=1_000_000),
    ("server.client_timeout_ms", TIMEOUT),
    ("server.write_timeout_ms", 1000..=DAY),
    ("server.drain_ms", PAUSE),
    ("server.shutdown_timeout_ms", PAUSE),
    ("admin.port", PORT),
    ("embedded.timeout_ms", TIMEOUT),
    ("services.mysql_connections", 2..=1000),
    ("services.redis_connections", 1..=1000),
    ("services.redis_idle_s", 60..=8_640_000),
    ("services.timeout_ms", TIMEOUT),
    ("services.elasticsearch_write_timeout_ms", TIMEOUT),
    // Lua passes a batch on as arguments, of which it takes some 8,000.
    ("workers.batch", 1..=5000),
    ("workers.batch_bytes", 1..=64 << 20),
    ("workers.lease_ms", 1000..=DAY),
    ("workers.poll_ms", 1..=DAY),
    ("workers.stall_ms", 1000..=DAY),
    ("workers.tries", 0..=1_000_000),
    ("workers.retry_ms", PAUSE),
    ("workers.retry_max_ms", PAUSE),
    ("workers.reconcile_page", 1..=5000),
    ("workers.reconcile_pause_ms", PAUSE),
    ("auth.grace_s", 1..=86_400),
    ("auth.token_max_ttl_s", 1..=MAX_TOKEN_TTL_S),
    ("auth.token_cache_bytes", 64 << 10..=1 << 30),
    ("limits.queue_depth", 1..=1_000_000_000),
    ("limits.dead_letters", 1..=1_000_000),
    ("limits.page_bytes", 128 << 10..=64 << 20),
    ("limits.response_bytes", 1 << 20..=1 << 40),
    ("limits.waiting_requests", 0..=1_000_000),
    ("limits.requests_per_second", 0..=1_000_000),
    ("limits.burst", 1..=1_000_000),
    ("limits.proxies", 0..=10),
    ("limits.keys", 1..=1_000_000),
    ("limits.keys_per_application", 1..=100_000),
    ("limits.user_revocations", 1..=1_000_000),
    ("retention.messages_days", 0..=36_500),
];

/// Words of every setting that is one of a few, in lower case. They are accepted in any case.
pub(super) const WORDS: [(&str, &[&str]); 5] = [
    ("auth.mode", &["open", "required"]),
    ("backing", &["embedded", "services"]),
    ("limits.proxy_header", &["x-forwarded-for", "forwarded"]),
    ("log.format", &["text", "json"]),
    ("log.level", &["error", "warn", "info", "debug", "trace"]),
];

/// Checks a value of the right type and returns it in the form that the settings are read from.
///
/// # Errors
///
/// A text that names the allowed values.
pub(super) fn check(key: &str, value: ValueKind) -> Result<ValueKind, String> {
    match value {
        ValueKind::I64(number) => match find(&NUMBERS, key) {
            Some(range) if !range.contains(&number) => {
                let (min, max) = (range.start(), range.end());
                Err(format!("must be from {min} to {max}, not {number}"))
            }
            _ => Ok(ValueKind::I64(number)),
        },
        ValueKind::String(text) => match find(&WORDS, key) {
            // Not set.
            _ if text.is_empty() => Ok(ValueKind::String(text)),
            None => Ok(ValueKind::String(text)),
            Some(words) => {
                let word = text.to_lowercase();
                if words.contains(&word.as_str()) {
                    Ok(ValueKind::String(word))
                } else {
                    Err(format!("must be {}, not {text:?}", words.join(" or ")))
                }
            }
        },
        other => Ok(other),
    }
}

fn find<'a, T>(table: &'a [(&str, T)], key: &str) -> Option<&'a T> {
    let mut rows = table.iter();
    rows.find(|(name, _)| *name == key).map(|(_, rule)| rule)
}

/// Tells whether a setting has a range.
#[cfg(test)]
pub(super) fn has_range(key: &str) -> bool {
    find(&NUMBERS, key).is_some()
}
