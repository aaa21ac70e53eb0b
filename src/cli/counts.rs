//! `confab counts`: verifying the counts.

use std::process::ExitCode;

use clap::Subcommand;

use super::{exit_code, output::Output, progress::Meter, retry::retry_long};
use crate::maintenance::Maintenance;

/// Subcommands of `confab counts`.
#[derive(Debug, Subcommand)]
pub enum CountsCommand {
    /// Recount everything; the exit code is 1 if a count is wrong.
    Verify {
        /// Correct wrong counts.
        #[arg(long)]
        fix: bool,
    },
}

impl CountsCommand {
    /// Runs the subcommand; the exit code is 1 if wrong counts remain.
    pub async fn run(self, maintenance: &Maintenance, output: &Output) -> anyhow::Result<ExitCode> {
        let Self::Verify { fix } = self;
        let meter = Meter::new("applications and chats", output.json);
        let watch = |progress| meter.show(progress);
        let verify = || maintenance.verify_counts(fix, &watch);
        let report = retry_long(&meter, verify).await?;
        meter.end();
        output.counts(&report)?;
        let repaired = if fix { report.findings.len() } else { 0 };
        Ok(exit_code(report.findings.len(), repaired))
    }
}
