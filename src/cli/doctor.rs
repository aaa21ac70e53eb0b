//! `confab doctor`.

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;

use super::output::Output;
use crate::{
    config::{AuthMode, BackendKind, Settings},
    maintenance::{Check, Maintenance, Severity},
};

#[derive(Serialize)]
struct Report<'a> {
    worst: Severity,
    checks: &'a [Check],
}

/// Diagnoses everything that the settings lead to.
///
/// `ignored` are the variables that look like settings and are none.
pub async fn run(
    maintenance: &Maintenance,
    settings: &Settings,
    ignored: &[String],
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let backend = match settings.backend {
        BackendKind::Embedded => "valid; the backend is one SQLite file",
        BackendKind::Services => "valid; the backend is MySQL, Redis and Elasticsearch",
    };
    let found = match ignored.join(", ") {
        none if none.is_empty() => backend.to_owned(),
        variables => format!("{backend}; ignored, as they are no settings: {variables}"),
    };
    let mut checks = vec![Check::ok("configuration", found)];
    checks.push(check_access(settings));
    let batch = settings.workers.batch_bytes;
    checks.extend(maintenance.doctor(batch).await);
    print(&checks, output)
}

/// Examines who is let in, and who can reach the API.
fn check_access(settings: &Settings) -> Check {
    let name = "access";
    let exposure = match settings.server.reachable_address() {
        Some(address) => format!("server.host has {address}, which other machines may reach"),
        None if settings.limits.proxies > 0 => {
            "limits.proxies says that proxies lead to the API".to_owned()
        }
        None => return Check::ok(name, mode_in_words(settings.auth.mode())),
    };
    match settings.auth.mode() {
        AuthMode::Required => Check::ok(name, mode_in_words(AuthMode::Required)),
        AuthMode::Open => Check::warning(
            name,
            format!("{}, and {exposure}", mode_in_words(AuthMode::Open)),
            "set auth.mode = \"required\" and create keys (docs/security.md), or let only trusted clients reach the API",
        ),
    }
}

fn mode_in_words(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::Open => "every request is let in",
        AuthMode::Required => "every request needs a key or a user token",
    }
}

/// Reports settings that cannot be used.
pub fn unusable(error: &dyn std::fmt::Display, output: &Output) -> anyhow::Result<ExitCode> {
    let check = Check::problem(
        "configuration",
        error.to_string(),
        "config/default.toml documents every setting; nothing else was checked",
    );
    print(&[check], output)
}

fn print(checks: &[Check], output: &Output) -> anyhow::Result<ExitCode> {
    let worst = checks.iter().map(|check| check.severity).max();
    let worst = worst.unwrap_or(Severity::Ok);
    output.print(&Report { worst, checks }, |report, text| {
        for check in report.checks {
            writeln!(
                text,
                "{:<9}{:<26}{}",
                check.severity.name(),
                check.name,
                check.found
            )?;
            if let Some(advice) = &check.advice {
                writeln!(text, "{:<9}{:<26}→ {advice}", "", "")?;
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::from(match worst {
        Severity::Ok => 0,
        Severity::Warning => 1,
        Severity::Problem => 2,
    }))
}
