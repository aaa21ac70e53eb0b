//! The workers, and the migration before them.

use std::time::Duration;

use tracing::warn;

use crate::{failpoints, stores::Backend, workers};

/// Pause before another attempt to migrate a database that is not up yet.
const MIGRATE_AGAIN: Duration = Duration::from_millis(500);

/// Runs the workers, after the migration if one is to be run.
pub async fn run(context: workers::Context, migrates: bool) {
    if migrates {
        let migrated = migrate_until_done(&context.backend);
        if context.stop.run_until_cancelled(migrated).await.is_none() {
            return;
        }
    }
    failpoints::hit("migrated");
    workers::start(&context).wait().await;
}

/// Migrates the schema as soon as the database is there.
async fn migrate_until_done(backend: &Backend) {
    let mut failures = 0_u32;
    while let Err(error) = backend.migrate().await {
        // The first is logged, and then one in a minute.
        if failures.is_multiple_of(120) {
            warn!(%error, "Failed to migrate the schema; workers start once it succeeds");
        }
        failures += 1;
        tokio::time::sleep(MIGRATE_AGAIN).await;
    }
}
