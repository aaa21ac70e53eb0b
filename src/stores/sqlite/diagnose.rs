//! What `confab doctor` looks at in the file.

use std::{fs, time::Duration};

use diesel::{dsl::sql, prelude::*, select, sql_query, sql_types::Text};

use super::{
    Embedded,
    connection::{Role, open},
    error::{Failure, classify},
    fts,
    lock::try_lock,
    path::DataFile,
    versions,
};
use crate::stores::{Check, Result, call::call, check::bounded};

/// How long the look through the whole file may take.
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
        let current = self.readers.run(call!("search", "examine"), current).await;
        let name = "search index";
        vec![Check::or_problem(
            name,
            current.map(|index| Check::ok(name, index)),
            "run `confab search rebuild`; a running confab with workers does so by itself",
        )]
    }

    async fn check_file(&self) -> Vec<Check> {
        let (file, name) = (&self.file, "file");
        let Ok(metadata) = fs::metadata(&file.path) else {
            return vec![Check::problem(
                name,
                format!("there is no {file} yet"),
                "`confab serve` and `confab migrate` make it; embedded.path says where it is",
            )];
        };
        let mut checks = vec![Check::ok(name, format!("{file}, {} bytes", metadata.len()))];
        checks.push(folder(file));
        checks.push(space(file));
        checks.extend(opened(file).unwrap_or_else(|error| {
            vec![Check::problem(
                "schema",
                error.to_string(),
                "see what the file is, and who wrote it",
            )]
        }));
        checks.push(self.quick_check().await);
        checks.push(Check::or_problem(
            "server",
            served(file),
            "the folder of the data must be writable",
        ));
        checks
    }

    /// In a thread that nobody waits for longer: it cannot be stopped.
    async fn quick_check(&self) -> Check {
        let name = "integrity";
        let file = self.file.clone();
        let (response, received) = tokio::sync::oneshot::channel();
        let check = move || {
            // Nobody need wait for it any more.
            let _ = response.send(quick_check(&file));
        };
        let started = std::thread::Builder::new().spawn(check);
        if let Err(error) = started {
            return Check::problem(name, error.to_string(), "no thread can be started");
        }
        let advice =
            "stop confab, keep a copy of the file, and put back a backup or try sqlite3's .recover";
        match tokio::time::timeout(QUICK_CHECK, received).await {
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

/// Tries it, as permissions alone do not tell of a disk that is mounted read-only.
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

fn space(file: &DataFile) -> Check {
    let name = "disk space";
    let folder = file.folder();
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        Err(error) => return Check::warning(name, error.to_string(), "look at it with df"),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let found = format!("{} MiB free", free >> 20);
    let advice = "make room: when the disk is full, writes are answered 503";
    if free < CRITICAL_SPACE {
        Check::problem(name, found, advice)
    } else if free < LOW_SPACE {
        Check::warning(name, found, advice)
    } else {
        Check::ok(name, found)
    }
}

/// The lock is given back at once.
fn served(file: &DataFile) -> Result<Check> {
    Ok(Check::ok(
        "server",
        match try_lock(file, "serve")? {
            Some(_) => "no confab serves this file now",
            None => "a confab serves this file",
        },
    ))
}
