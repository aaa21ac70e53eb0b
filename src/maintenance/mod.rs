//! Maintenance by operators, on the command line and on the admin listener: diagnose, verify, rebuild, manage jobs.

mod applications;
mod counts;
mod doctor;
mod documents;
mod erase;
mod jobs;
mod progress;
mod rebuild;
mod snapshot;
mod verify;

pub use self::{
    counts::CountsReport,
    jobs::JobError,
    progress::{Progress, Watch, unwatched},
    rebuild::{INDEX_LOCK, Rebuilt},
    snapshot::Snapshot,
    verify::{Finding, IndexReport, Problem},
};
use crate::stores::{Backend, Result};
pub use crate::stores::{
    Check, Erasure, Error as StoreError, JobInfo, JobState, KindStats, Probe, Severity,
    services::IndexLag,
};

/// Maintenance of one installation. Cheap to clone.
#[derive(Clone)]
pub struct Maintenance {
    backend: Backend,
}

impl Maintenance {
    /// Maintenance of these stores.
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }

    /// Migrates the schema to that of this program.
    pub async fn migrate(&self) -> Result<()> {
        self.backend.migrate().await
    }
}

/// Runs the steps of a scan: each gets the key after which it continues, and returns that of the next, `None` at the end.
async fn scan<K>(mut step: impl AsyncFnMut(Option<K>) -> Result<Option<K>>) -> Result<()> {
    let mut after = None;
    loop {
        after = step(after).await?;
        if after.is_none() {
            return Ok(());
        }
    }
}
