//! The versions of the schema.

use diesel::{
    SqliteConnection, dsl::sql, migration::MigrationSource, prelude::*, select, sql_types::Bool,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::{
    error::{Failure, Outcome, failed},
    path::DataFile,
};
use crate::stores::Result;

/// All migrations of this program.
pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// The versions of all migrations of this program.
pub(super) fn known() -> Result<Vec<String>> {
    let migrations = MigrationSource::<Sqlite>::migrations(&MIGRATIONS).map_err(failed)?;
    let versions = migrations
        .iter()
        .map(|migration| migration.name().version().to_string());
    Ok(versions.collect())
}

/// The versions of the migrations that ran; none if the file has no table of them yet.
pub(super) fn applied(connection: &mut SqliteConnection) -> Outcome<Vec<String>> {
    let is_new = select(sql::<Bool>(
        "NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '__diesel_schema_migrations')",
    ));
    if is_new.get_result(connection)? {
        return Ok(Vec::new());
    }
    let applied = connection.applied_migrations();
    let applied = applied.map_err(|error| Failure::Store(failed(error)))?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

/// Refuses a file in which a migration ran that this program does not know: it could misread or damage the data.
pub(super) fn refuse_newer(connection: &mut SqliteConnection, file: &DataFile) -> Outcome<()> {
    let (applied, known) = (applied(connection)?, known()?);
    match applied.iter().find(|version| !known.contains(version)) {
        None => Ok(()),
        Some(version) => Err(Failure::Store(failed(format!(
            "{file} was written by a newer confab (migration {version}): run that version, or set embedded.path to another file"
        )))),
    }
}
