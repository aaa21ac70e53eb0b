//! Bringing the schema up to date.

use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel_migrations::MigrationHarness as _;

use super::{
    Embedded,
    connection::{Role, open},
    error::{classify, failed, unavailable},
    versions::MIGRATIONS,
};
use crate::stores::{Result, call::call};

/// How long to wait for another process that is migrating.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl Embedded {
    /// Creates the file if there is none, and runs the migrations that have not run yet, one process at a time.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or a migration fails; the file is as it was then.
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
        let file = self.file.clone();
        let migrated = tokio::task::spawn_blocking(move || {
            let mut connection = open(&file, Role::Writes, true)?;
            // Nothing may be left to be run, and then a file that is not to be written to would be noticed late. This
            // writes, unlike BEGIN IMMEDIATE alone, and leaves nothing behind.
            connection
                .batch_execute("BEGIN IMMEDIATE; PRAGMA user_version = 0; ROLLBACK")
                .map_err(|error| classify(&file, &error))?;
            connection
                .run_pending_migrations(MIGRATIONS)
                .map(drop)
                .map_err(|error| {
                    unavailable(format!(
                        "{file}: cannot bring the schema up to date: {error}; the file is as it was"
                    ))
                })
        });
        migrated.await.map_err(failed)?
    }
}
