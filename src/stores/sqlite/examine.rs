//! What `confab doctor` looks at in the file.

use std::{fs, path::Path, time::Duration};

use diesel::{
    dsl::sql, migration::MigrationSource, prelude::*, select, sql_query, sql_types::Text,
    sqlite::Sqlite,
};
use diesel_migrations::MigrationHarness as _;

use super::{
    SqliteStores,
    connection::{Place, Role, open},
    error::{failed, meaning},
    lock::try_lock,
    migrate::MIGRATIONS,
};
use crate::stores::{Check, Result};

/// How long the look through the whole file may take.
const QUICK_CHECK: Duration = Duration::from_secs(60);

/// Free bytes below which to warn, and below which it is a problem.
const LITTLE: u64 = 1 << 30;
const NEXT_TO_NOTHING: u64 = 64 << 20;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

impl SqliteStores {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let place = &self.place;
        let (name, shown) = ("file", place.name());
        let Ok(file) = fs::metadata(&place.file) else {
            return vec![Check::problem(
                name,
                format!("there is no {shown} yet"),
                "`confab serve` and `confab migrate` make it; embedded.path says where it is",
            )];
        };
        let mut checks = vec![Check::ok(name, format!("{shown}, {} bytes", file.len()))];
        checks.push(folder(place));
        checks.push(space(place));
        checks.extend(opened(place).unwrap_or_else(|error| {
            vec![Check::problem(
                "schema",
                error.to_string(),
                "see what the file is, and who wrote it",
            )]
        }));
        checks.push(self.quick_check().await);
        checks.push(Check::or_problem(
            "server",
            served(place),
            "the folder of the data must be writable",
        ));
        checks
    }

    /// In a thread that nobody waits for longer: it cannot be stopped.
    async fn quick_check(&self) -> Check {
        let name = "integrity";
        let place = self.place.clone();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let look = move || {
            // Nobody need wait for it any more.
            let _ = answer.send(quick_check(&place));
        };
        let started = std::thread::Builder::new().spawn(look);
        if let Err(error) = started {
            return Check::problem(name, error.to_string(), "no thread can be started");
        }
        let advice =
            "stop confab, keep a copy of the file, and put back a backup or try sqlite3's .recover";
        match tokio::time::timeout(QUICK_CHECK, answered).await {
            Ok(Ok(Ok(lines))) if lines == ["ok"] => Check::ok(name, "PRAGMA quick_check: ok"),
            Ok(Ok(Ok(lines))) => Check::problem(name, lines.join("; "), advice),
            Ok(Ok(Err(error))) => Check::problem(name, error.to_string(), advice),
            Ok(Err(_)) => Check::problem(name, "looking at it ended in a panic", advice),
            Err(_) => Check::warning(
                name,
                format!("no answer within {QUICK_CHECK:?}"),
                "the file is large: run `PRAGMA quick_check` on it with sqlite3",
            ),
        }
    }
}

fn quick_check(place: &Place) -> Result<Vec<String>> {
    let mut connection = open(place, Role::Reads, false)?;
    let lines: Vec<Line> = sql_query("PRAGMA quick_check(20)")
        .load(&mut connection)
        .map_err(|error| meaning(&place.name(), &error))?;
    Ok(lines.into_iter().map(|line| line.quick_check).collect())
}

fn opened(place: &Place) -> Result<Vec<Check>> {
    let mut connection = open(place, Role::Reads, false)?;
    let mode: String = select(sql::<Text>(
        "(SELECT journal_mode FROM pragma_journal_mode)",
    ))
    .get_result(&mut connection)
    .map_err(|error| meaning(&place.name(), &error))?;
    let known: Vec<String> = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)
        .map_err(failed)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    // A reading connection cannot make the table; without it, nothing ran.
    let applied = connection.applied_migrations().unwrap_or_default();
    let applied: Vec<String> = applied.iter().map(ToString::to_string).collect();
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
        Check::schema("schema", &known, &applied),
    ])
}

/// Tries it, as permissions alone do not tell of a disk that is mounted read-only.
fn folder(place: &Place) -> Check {
    let name = "folder";
    let folder = place.file.parent().unwrap_or(Path::new("."));
    let probe = place.beside(&format!("probe-{:08x}", rand::random::<u32>()));
    match fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => Check::ok(name, format!("{} is writable", folder.display())),
        Err(error) => Check::problem(
            name,
            format!("{} is not writable: {error}", folder.display()),
            "confab must be able to write there: SQLite keeps its log beside the file",
        ),
    }
}

fn space(place: &Place) -> Check {
    let name = "disk space";
    let folder = place.file.parent().unwrap_or(Path::new("."));
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        Err(error) => return Check::warning(name, error.to_string(), "look at it with df"),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{} MiB free", free >> 20);
    let advice = "make room: when the disk is full, writes are answered 503";
    if free < NEXT_TO_NOTHING {
        Check::problem(name, found, advice)
    } else if free < LITTLE {
        Check::warning(name, found, advice)
    } else {
        Check::ok(name, found)
    }
}

/// The lock is given back at once.
fn served(place: &Place) -> Result<Check> {
    Ok(Check::ok(
        "server",
        match try_lock(place, "serve")? {
            Some(_) => "no confab serves this file now",
            None => "a confab serves this file",
        },
    ))
}
