//! The workers, and the migration before them.

use std::time::Duration;

use tracing::{error, warn};

use crate::{
    failpoints,
    stores::{Backend, Error},
    workers,
};

/// Pause before another attempt to migrate a database that is not up yet.
const MIGRATE_AGAIN: Duration = Duration::from_millis(500);

/// Runs the workers, after the migration if one is to be run.
pub async fn run(context: workers::Context, migrates: bool) {
    if migrates {
        let migrated = migrate_until_done(&context.backend);
        let migrated = context.stop.run_until_cancelled(migrated).await;
        // Without the workers, the process ends.
        if migrated != Some(true) {
            return;
        }
    }
    failpoints::hit("migrated");
    workers::start(&context).wait().await;
}

/// Migrates the schema as soon as the database is there; false if a newer program changed its format.
async fn migrate_until_done(backend: &Backend) -> bool {
    let mut failures = 0_u32;
    while let Err(error) = backend.migrate().await {
        if let Error::Newer { .. } = error {
            error!(%error, "The stores belong to a newer version; this process cannot work on them");
            return false;
        }
        // The first is logged, and then one in a minute.
        if failures.is_multiple_of(120) {
            warn!(%error, "Failed to migrate the schema; workers start once it succeeds");
        }
        failures += 1;
        tokio::time::sleep(MIGRATE_AGAIN).await;
    }
    true
}
