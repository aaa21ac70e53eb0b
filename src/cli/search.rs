//! `confab search`: verifying and rebuilding the search index.

use std::process::ExitCode;

use clap::Subcommand;

use super::{exit_code, output::Output, progress::Meter, retry::retry_long};
use crate::maintenance::Maintenance;

/// Subcommands of `confab search`.
#[derive(Debug, Subcommand)]
pub enum SearchCommand {
    /// Compare every row with its search document; the exit code is 1 if they differ.
    Verify {
        /// Repair the differences.
        #[arg(long)]
        fix: bool,
    },
    /// Build a new search index from the rows and put it into use; resumes an unfinished rebuild.
    Rebuild,
}

impl SearchCommand {
    /// Runs the subcommand; the exit code is 1 if differences remain.
    pub async fn run(self, maintenance: &Maintenance, output: &Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Verify { fix } => {
                let meter = Meter::new("rows and documents", output.json);
                let watch = |progress| meter.show(progress);
                let verify = || maintenance.verify_index(fix, &watch);
                let report = retry_long(&meter, verify).await?;
                meter.end();
                output.index(&report)?;
                Ok(exit_code(report.findings.len(), report.repaired))
            }
            Self::Rebuild => {
                let meter = Meter::new("messages", output.json);
                let watch = |progress| meter.show(progress);
                let rebuild = || maintenance.rebuild_index(&watch);
                let rebuilt = retry_long(&meter, rebuild).await?;
                meter.end();
                output.rebuilt(&rebuilt)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
