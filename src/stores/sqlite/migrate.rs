//! Bringing the schema up to date.

use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel_migrations::MigrationHarness as _;

use super::{
    Embedded,
    connection::{Role, open},
    error::{classify, failed, unavailable},
    lock::try_lock_serving,
    path::DataFile,
    permissions::restrict,
    versions::MIGRATIONS,
};
use crate::stores::{Error, Result, call::call};

/// Time to wait for another process that is migrating.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl Embedded {
    /// Creates the file if there is none, and runs the migrations that have not run yet, one process at a time.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or a migration fails; or another process serves the file, and would not know the new
    /// schema. The file is as it was then.
    pub async fn migrate(&self) -> Result<()> {
        call!("records", "migrate")
            .timed(self.run_migrations())
            .await
    }

    async fn run_migrations(&self) -> Result<()> {
        self.file.create_folder()?;
        let Some(_lock) = self.lock("migrate", LOCK_WAIT).await? else {
            return Err(unavailable("another process is migrating"));
        };
        let (file, serves) = (self.file.clone(), self.exclusive.get().is_some());
        let migrated = tokio::task::spawn_blocking(move || {
            let mut connection = open(&file, Role::Writes, true)?;
            let has_pending = connection.has_pending_migration(MIGRATIONS);
            let has_pending = has_pending.map_err(failed)?;
            // A process that serves the file checked the schema when it opened it.
            let _serving = match has_pending && !serves {
                true => Some(try_lock_serving(&file)?.ok_or_else(|| is_served(&file))?),
                false => None,
            };
            // If no migration is pending, a read-only file would be noticed late. This statement writes, unlike BEGIN
            // IMMEDIATE alone, and changes nothing.
            connection
                .batch_execute("BEGIN IMMEDIATE; PRAGMA user_version = 0; ROLLBACK")
                .map_err(|error| classify(&file, &error))?;
            connection
                .run_pending_migrations(MIGRATIONS)
                .map(drop)
                .map_err(|error| {
                    unavailable(format!(
                        "{file}: cannot migrate the schema: {error}; the file is unchanged"
                    ))
                })
        });
        migrated.await.map_err(failed)??;
        restrict(&self.file);
        Ok(())
    }
}

fn is_served(file: &DataFile) -> Error {
    failed(format!(
        "a confab serves {file}, perhaps of an older version, which would not know the new schema: stop it first; \
         `confab serve` migrates the file at its start"
    ))
}
