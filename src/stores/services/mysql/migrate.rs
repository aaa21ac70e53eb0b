//! Bringing the schema up to date.

use std::time::Duration;

use diesel::{migration::MigrationSource, mysql};
use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Mysql, errors::unavailable};
use crate::stores::{Error, Result, call::call};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// Time to wait for another process that is migrating.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl Mysql {
    /// Runs the migrations that have not run yet, one process at a time.
    ///
    /// # Errors
    ///
    /// MySQL is unreachable, or another process migrates; or a migration fails; or the rows have a newer format.
    pub async fn migrate(&self) -> Result<()> {
        call!("records", "migrate")
            .timed(self.run_migrations())
            .await
    }

    async fn run_migrations(&self) -> Result<()> {
        let Some(_lock) = self.lock("migrate", LOCK_WAIT).await? else {
            return Err(unavailable(&"another process is migrating"));
        };
        self.refuse_newer().await?;
        let connection = self.pool.dedicated().await?;
        // In its own task, because the harness blocks the calling thread and takes the wake-ups of other futures there.
        let run = tokio::spawn(async move {
            let mut harness = AsyncMigrationHarness::new(connection);
            let run = harness.run_pending_migrations(MIGRATIONS);
            run.map(drop).map_err(|error| error.to_string())
        });
        let outcome = run.await.map_err(|panic| failed(&panic))?;
        outcome.map_err(|error| failed(&error))
    }
}

/// The versions of all migrations.
pub(super) fn known() -> Result<Vec<String>> {
    let migrations = MigrationSource::<mysql::Mysql>::migrations(&MIGRATIONS);
    let migrations = migrations.map_err(|error| failed(&error))?;
    let versions = migrations
        .iter()
        .map(|migration| migration.name().version().to_string());
    Ok(versions.collect())
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Failed {
        store: "MySQL",
        detail: format!("migration: {error}"),
    }
}
