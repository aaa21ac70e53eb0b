//! Bringing the schema up to date.

use std::time::Duration;

use diesel::{
    SqliteConnection, connection::SimpleConnection as _, migration::MigrationSource, sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::{
    SqliteStores,
    connection::{Role, open},
    error::{Failure, Outcome, failed, meaning, unavailable},
};
use crate::stores::Result;

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// How long to wait for another process that is migrating.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl SqliteStores {
    /// Makes the file if there is none, and runs what has not run yet, one process at a time.
    pub(super) async fn run_migrations(&self) -> Result<()> {
        self.place.make_folder()?;
        let Some(_lock) = self.named_lock("migrate", LOCK_WAIT).await? else {
            return Err(unavailable("another process is migrating"));
        };
        let place = self.place.clone();
        let migrated = tokio::task::spawn_blocking(move || {
            let mut connection = open(&place, Role::Writes, true)?;
            let name = place.name();
            // Nothing may be left to be run, and then a file that is not to be written to would be noticed late. This
            // writes, unlike BEGIN IMMEDIATE alone, and leaves nothing behind.
            connection
                .batch_execute("BEGIN IMMEDIATE; PRAGMA user_version = 0; ROLLBACK")
                .map_err(|error| meaning(&name, &error))?;
            connection
                .run_pending_migrations(MIGRATIONS)
                .map(drop)
                .map_err(|error| {
                    unavailable(format!(
                        "{name}: cannot bring the schema up to date: {error}; the file is as it was"
                    ))
                })
        });
        migrated.await.map_err(failed)?
    }
}

/// Refuses a file in which a migration ran that this program does not know: it would not understand what it reads, and
/// spoil what it writes.
pub(super) fn refuse_newer(connection: &mut SqliteConnection, file: &str) -> Outcome<()> {
    use diesel::{dsl::sql, prelude::*, select, sql_types::Bool};

    let is_new = select(sql::<Bool>(
        "NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '__diesel_schema_migrations')",
    ));
    if is_new.get_result(connection)? {
        return Ok(());
    }
    let read = |error| Failure::Store(failed(error));
    let applied = connection.applied_migrations().map_err(read)?;
    let known: Vec<_> = MigrationSource::<Sqlite>::migrations(&MIGRATIONS)
        .map_err(read)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    match applied
        .iter()
        .find(|version| !known.contains(&version.to_string()))
    {
        None => Ok(()),
        Some(version) => Err(Failure::Store(failed(format!(
            "{file} was written by a newer confab (migration {version}): run that one, or name another file by embedded.path"
        )))),
    }
}
