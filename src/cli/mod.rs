//! The command line.

mod jobs;
mod output;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};

use self::{jobs::Jobs, output::Output};
use crate::{
    app::App,
    config::{Settings, environment},
    service::{rebuild::rebuild, verify},
    stores, telemetry,
};

/// How long a command waits for a store that is out of reach, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// A chat backend: applications, chats and messages over HTTP.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// A file of settings that override the defaults; the environment (CONFAB_…) overrides both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object instead of lines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer requests and run the workers (the default).
    Serve {
        /// Do not bring the database's schema up to date first.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Bring the database's schema up to date.
    Migrate,
    /// Look at the job queues, and see to what failed.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Look after the search index.
    #[command(subcommand)]
    Search(Search),
    /// Look after the counts.
    #[command(subcommand)]
    Counts(Counts),
}

#[derive(Debug, Subcommand)]
enum Search {
    /// Compare every row with its document; the exit code is 1 if they differ.
    Verify {
        /// Mend what differs.
        #[arg(long)]
        fix: bool,
    },
    /// Build a new index from the rows, and put it into use.
    Rebuild,
}

#[derive(Debug, Subcommand)]
enum Counts {
    /// Recount everything; the exit code is 1 if a count is wrong.
    Verify {
        /// Correct what is wrong.
        #[arg(long)]
        fix: bool,
    },
}

impl Cli {
    /// Does what was asked for; the exit code is 1 also where a check found something.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being done.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = Settings::read(self.config.as_deref(), environment())?;
        telemetry::start(&settings.log);
        let app = App::new(&settings)?;
        let output = Output { json: self.json };
        match self.command.unwrap_or(Command::Serve { no_migrate: false }) {
            Command::Serve { no_migrate } => {
                app.serve(&settings, !no_migrate).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Migrate => {
                patiently(|| app.records.migrate()).await?;
                output.done("the schema is up to date");
                Ok(ExitCode::SUCCESS)
            }
            Command::Jobs(command) => {
                command.run(&*app.queue, &output).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Search(Search::Verify { fix }) => {
                let report = patiently(|| verify::index(&*app.records, &*app.index, fix)).await?;
                output.index(&report);
                Ok(found(report.findings.len(), report.mended))
            }
            Command::Search(Search::Rebuild) => {
                let messages = patiently(|| rebuild(&*app.records, &*app.index, |_| {})).await?;
                output.done(&format!("{messages} messages are in the new index"));
                Ok(ExitCode::SUCCESS)
            }
            Command::Counts(Counts::Verify { fix }) => {
                let report = patiently(|| verify::counts(&*app.records, fix)).await?;
                output.counts(&report);
                let mended = if fix { report.findings.len() } else { 0 };
                Ok(found(report.findings.len(), mended))
            }
        }
    }
}

/// Makes a call again while a store is out of reach, for a while: one that is just starting need not end a command.
/// All of these calls may be made twice.
async fn patiently<T, F>(call: impl Fn() -> F) -> stores::Result<T>
where
    F: Future<Output = stores::Result<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Err(stores::Error::Unavailable { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// 1 if something is wrong still.
fn found(findings: usize, mended: usize) -> ExitCode {
    if findings > mended {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
