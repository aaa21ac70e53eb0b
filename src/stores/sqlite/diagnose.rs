//! Diagnosis of the file.

use std::{fs, time::Duration};

use diesel::{dsl::sql, prelude::*, select, sql_query, sql_types::Text};

use super::{
    Embedded,
    connection::{Role, open},
    error::{Failure, classify},
    fts,
    lock::try_lock_serving,
    path::DataFile,
    permissions::too_wide,
    versions,
};
use crate::stores::{Check, Result, call::call, check::bounded};

/// Time limit of the check of the whole file.
const QUICK_CHECK: Duration = Duration::from_secs(60);

/// Free bytes below which to warn, and below which it is a problem.
const LOW_SPACE: u64 = 1 << 30;
const CRITICAL_SPACE: u64 = 64 << 20;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

impl Embedded {
    pub(crate) async fn diagnose(&self) -> Vec<Check> {
        let mut checks = bounded("rows", self.check_file()).await;
        checks.extend(bounded("search index", self.check_index()).await);
        checks
    }

    /// Finds out which index is in use.
    async fn check_index(&self) -> Vec<Check> {
        let current = |connection: &mut SqliteConnection| fts::named(connection, None);
        let current = self.scans.run(call!("search", "examine"), current).await;
        let name = "search index";
        let checked = current.map(|index| Check::ok(name, index));
        let advice =
            "run `confab search rebuild`; a running confab with workers does so automatically";
        vec![Check::or_problem(name, checked, advice)]
    }

    async fn check_file(&self) -> Vec<Check> {
        let (file, name) = (&self.file, "file");
        let Ok(metadata) = fs::metadata(&file.path) else {
            let found = format!("there is no {file} yet");
            let advice =
                "`confab serve` and `confab migrate` create it; embedded.path sets its location";
            return vec![Check::problem(name, found, advice)];
        };
        let mut checks = vec![Check::ok(name, format!("{file}, {} bytes", metadata.len()))];
        checks.push(folder(file));
        checks.push(permissions(file));
        checks.push(space(file));
        let advice = "check what the file is and which program wrote it";
        checks.extend(
            opened(file)
                .unwrap_or_else(|error| vec![Check::problem("schema", error.to_string(), advice)]),
        );
        checks.push(self.quick_check().await);
        checks.push(Check::or_problem(
            "server",
            served(file),
            "the folder of the data must be writable",
        ));
        checks
    }

    /// Runs the check in its own thread, which cannot be stopped and is abandoned after the time limit.
    async fn quick_check(&self) -> Check {
        let name = "integrity";
        let file = self.file.clone();
        let (response, received) = tokio::sync::oneshot::channel();
        let check = move || {
            // The receiver may have stopped waiting.
            let _ = response.send(quick_check(&file));
        };
        let started = std::thread::Builder::new().spawn(check);
        if let Err(error) = started {
            return Check::problem(name, error.to_string(), "check the limit of threads");
        }
        let advice =
            "stop confab, keep a copy of the file, then restore a backup or try sqlite3's .recover";
        match tokio::time::timeout(QUICK_CHECK, received).await {
            Ok(Ok(Ok(lines))) if lines == ["ok"] => Check::ok(name, "PRAGMA quick_check: ok"),
            Ok(Ok(Ok(lines))) => Check::problem(name, lines.join("; "), advice),
            Ok(Ok(Err(error))) => Check::problem(name, error.to_string(), advice),
            Ok(Err(_)) => Check::problem(name, "the check panicked", advice),
            Err(_) => Check::warning(
                name,
                format!("no response within {QUICK_CHECK:?}"),
                "the file is large: run `PRAGMA quick_check` on it with sqlite3",
            ),
        }
    }
}

fn quick_check(file: &DataFile) -> Result<Vec<String>> {
    let mut connection = open(file, Role::Reads, false)?;
    let lines: Vec<Line> = sql_query("PRAGMA quick_check(20)")
        .load(&mut connection)
        .map_err(|error| classify(file, &error))?;
    Ok(lines.into_iter().map(|line| line.quick_check).collect())
}

fn opened(file: &DataFile) -> Result<Vec<Check>> {
    let mut connection = open(file, Role::Reads, false)?;
    let mode: String = select(sql::<Text>(
        "(SELECT journal_mode FROM pragma_journal_mode)",
    ))
    .get_result(&mut connection)
    .map_err(|error| classify(file, &error))?;
    let applied = versions::applied(&mut connection).map_err(|failure| match failure {
        Failure::Store(error) => error,
        Failure::Database(error) => classify(file, &error),
    })?;
    Ok(vec![
        if mode == "wal" {
            Check::ok("journal", "WAL")
        } else {
            Check::problem(
                "journal",
                mode,
                "keep the file on a local disk: write-ahead logging does not work over a network",
            )
        },
        Check::schema("schema", &versions::known()?, &applied),
    ])
}

/// Writes a test file, because permissions do not show that a disk is mounted read-only.
fn folder(file: &DataFile) -> Check {
    let name = "folder";
    let folder = file.folder();
    let probe = file.beside(&format!("probe-{:08x}", rand::random::<u32>()));
    match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => Check::ok(name, format!("{} is writable", folder.display())),
        Err(error) => Check::problem(
            name,
            format!("{} is not writable: {error}", folder.display()),
            "confab must be able to write there: SQLite keeps its log beside the file",
        ),
    }
}

/// Checks that only the owner can read the messages and hold the locks.
fn permissions(file: &DataFile) -> Check {
    let name = "permissions";
    let wide = too_wide(file);
    if wide.is_empty() {
        return Check::ok(name, "only the owner has access");
    }
    let advice = "other users can read the messages or stop writes; the next start of `confab serve` restricts the permissions";
    Check::warning(name, wide.join("; "), advice)
}

fn space(file: &DataFile) -> Check {
    let name = "disk space";
    let folder = file.folder();
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        Err(error) => return Check::warning(name, error.to_string(), "check it with df"),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{} MiB free", free >> 20);
    let advice = "free some space: when the disk is full, writes return 503";
    if free < CRITICAL_SPACE {
        Check::problem(name, found, advice)
    } else if free < LOW_SPACE {
        Check::warning(name, found, advice)
    } else {
        Check::ok(name, found)
    }
}

/// Releases the lock at once.
fn served(file: &DataFile) -> Result<Check> {
    Ok(Check::ok(
        "server",
        match try_lock_serving(file)? {
            Some(_) => "no confab is serving this file",
            None => "a confab serves this file",
        },
    ))
}
