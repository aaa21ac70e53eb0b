//! Bringing the schema up to date.

use std::time::Duration;

use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{MysqlRecords, pool::unavailable};
use crate::stores::{Error, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// How long to wait for another process that is migrating.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl MysqlRecords {
    /// Runs what has not run yet, one process at a time.
    pub(super) async fn run_migrations(&self) -> Result<()> {
        let Some(_lock) = self.named_lock("migrate", LOCK_WAIT).await? else {
            return Err(unavailable(&"another process is migrating"));
        };
        let mut harness = AsyncMigrationHarness::new(self.pool.dedicated().await?);
        match harness.run_pending_migrations(MIGRATIONS) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Failed {
                store: "MySQL",
                detail: format!("migration: {error}"),
            }),
        }
    }
}
