//! Findings of `confab doctor`.

use std::time::Duration;

use serde::Serialize;

use super::{Error, Result};

/// Severity in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As expected.
    Ok,
    /// It works, but data may be lost or an operator should act.
    Warning,
    /// It does not work, or accepted writes are lost.
    Problem,
}

impl Severity {
    /// Name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name: `redis persistence`.
    #[serde(rename = "check")]
    pub name: &'static str,
    /// Severity of the result.
    #[serde(rename = "verdict")]
    pub severity: Severity,
    /// Observed state.
    pub found: String,
    /// Advice for the operator; `None` if everything is as expected.
    pub advice: Option<String>,
}

impl Check {
    /// Creates a result without findings.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Ok,
            found: found.into(),
            advice: None,
        }
    }

    /// Creates a warning.
    pub fn warning(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            advice: Some(advice.into()),
            ..Self::ok(name, found)
        }
    }

    /// Creates a problem.
    pub fn problem(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Problem,
            ..Self::warning(name, found, advice)
        }
    }

    /// A problem where asking was one.
    pub fn or_problem(name: &'static str, checked: Result<Self>, advice: &str) -> Self {
        checked.unwrap_or_else(|error: Error| Self::problem(name, error.to_string(), advice))
    }

    /// Compares the migrations that this program has with those that ran.
    pub(super) fn schema(name: &'static str, known: &[String], applied: &[String]) -> Self {
        let pending = known.iter().filter(|version| !applied.contains(version));
        let pending: Vec<&str> = pending.map(String::as_str).collect();
        let newer = applied.iter().find(|version| !known.contains(version));
        if let Some(version) = newer {
            Self::problem(
                name,
                format!("migration {version} was applied, which this program does not know"),
                "a newer confab migrated this database: run that version",
            )
        } else if pending.is_empty() {
            Self::ok(name, format!("all {} migrations are applied", known.len()))
        } else {
            Self::problem(
                name,
                format!("pending: migration {}", pending.join(", ")),
                "run `confab migrate`, or start `confab serve` without --no-migrate",
            )
        }
    }

    /// Compares a store's clock, read between two reads of this host's clock, in milliseconds since 1970.
    pub(super) fn clock(name: &'static str, before: i64, server_time: i64, after: i64) -> Self {
        let skew = (before - server_time).max(server_time - after).max(0);
        let found = format!("{skew} ms from this host's");
        let advice = "synchronise both clocks by NTP: creation times are read from them";
        match skew {
            ..=2000 => Self::ok(name, found),
            2001..=60_000 => Self::warning(name, found, advice),
            _ => Self::problem(name, found, advice),
        }
    }
}

/// Time limit of one store's diagnosis. A file's integrity check has its own, shorter limit.
const DIAGNOSIS: Duration = Duration::from_secs(75);

/// Runs one store's diagnosis; that it takes too long is a finding.
pub(super) async fn bounded(
    name: &'static str,
    diagnosis: impl Future<Output = Vec<Check>>,
) -> Vec<Check> {
    let outcome = tokio::time::timeout(DIAGNOSIS, diagnosis).await;
    let found = format!("no response within {DIAGNOSIS:?}");
    let advice = "check whether the store is overloaded";
    outcome.unwrap_or_else(|_| vec![Check::problem(name, found, advice)])
}

/// Returns this host's clock in milliseconds since 1970.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_differ_by_what_the_question_took() {
        let severity = |server_time| Check::clock("a clock", 10_000, server_time, 15_000).severity;
        for server_time in [8000, 10_000, 12_000, 15_000, 17_000] {
            assert_eq!(severity(server_time), Severity::Ok, "{server_time}");
        }
        for server_time in [7999, 17_001, -50_000, 75_000] {
            assert_eq!(severity(server_time), Severity::Warning, "{server_time}");
        }
        for server_time in [-50_001, 75_001] {
            assert_eq!(severity(server_time), Severity::Problem, "{server_time}");
        }
    }

    #[test]
    fn migrations_are_all_run_pending_or_unknown() {
        let severity = |known: &[&str], applied: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            Check::schema("a schema", &owned(known), &owned(applied)).severity
        };
        assert_eq!(severity(&["1", "2"], &["2", "1"]), Severity::Ok);
        assert_eq!(severity(&["1", "2"], &["1"]), Severity::Problem);
        assert_eq!(severity(&["1"], &["1", "2"]), Severity::Problem);
    }
}
