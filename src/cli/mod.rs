//! The command line.

mod applications;
mod counts;
mod doctor;
mod erase;
mod health;
mod jobs;
mod keys;
mod output;
mod progress;
mod retry;
mod search;

use std::{
    io::{self, ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use tracing::warn;

use self::{
    applications::ApplicationsCommand,
    counts::CountsCommand,
    erase::Erase,
    jobs::JobsCommand,
    keys::KeysCommand,
    output::{Output, complain},
    retry::retry,
    search::SearchCommand,
};
use crate::{
    config::{Environment, Settings},
    http::openapi,
    maintenance::Maintenance,
    startup,
    telemetry::{logging, metrics},
};

/// Parses the command line, runs the command and prints its error.
///
/// The runtime starts here: a future that the binary itself polled would be compiled into both crates.
#[tokio::main]
pub async fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(line) => line.run().await,
        Err(message) => explain(&message),
    };
    logging::end();
    outcome.unwrap_or_else(|error| {
        complain(&format!("confab: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Prints what clap has to say: help and version to standard output, errors to standard error.
fn explain(message: &clap::Error) -> anyhow::Result<ExitCode> {
    let printed = message.print().and_then(|()| io::stdout().flush());
    if let Err(error) = printed
        && !message.use_stderr()
        && error.kind() != ErrorKind::BrokenPipe
    {
        return Err(error).context("cannot write to standard output");
    }
    Ok(u8::try_from(message.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A chat backend: applications, chats and messages over HTTP.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Settings file; overrides the defaults, and the environment (CONFAB_…) overrides both.
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
    /// Serve requests and run the workers (the default).
    Serve {
        /// Do not migrate the schema first.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Migrate the schema to this version.
    Migrate,
    /// Diagnose the stores, their settings and their consistency; the exit code is 1 for a warning, 2 for a problem.
    Doctor,
    /// Check that the server of these settings responds; the exit code is 1 if it does not. For container engines.
    Health,
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Inspect and manage the job queues.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Create, list, expire and revoke keys, the credentials of servers.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// List applications.
    #[command(subcommand)]
    Applications(ApplicationsCommand),
    /// Verify or rebuild the search index.
    #[command(subcommand)]
    Search(SearchCommand),
    /// Verify the counts.
    #[command(subcommand)]
    Counts(CountsCommand),
    /// Delete an application, or all messages of a sender, and show the progress of erasures.
    Erase(Erase),
    /// Print the description of the API: OpenAPI 3.1.
    Openapi,
}

impl Cli {
    /// Runs the command; the exit code is 1 also where a check found something.
    async fn run(self) -> anyhow::Result<ExitCode> {
        // Whatever the settings are.
        if let Some(Command::Completions { shell }) = self.command {
            let mut line = Self::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut line, "confab", &mut script);
            output::print(&script)?;
            return Ok(ExitCode::SUCCESS);
        }
        let output = Output { json: self.json };
        let command = match self.command {
            Some(Command::Keys(keys)) => match keys.generate(&output)? {
                Some(keys) => Some(Command::Keys(keys)),
                None => return Ok(ExitCode::SUCCESS),
            },
            command => command,
        };
        let diagnosed = matches!(command, Some(Command::Doctor));
        let environment = Environment::of_process();
        let settings = match Settings::read(self.config.as_deref(), &environment) {
            Err(error) if diagnosed => return doctor::unusable(&error, &output),
            settings => settings?,
        };
        logging::start(&settings.log);
        metrics::start();
        // Boxed: the futures of whole commands nest deeper than the compiler follows.
        let command = command.unwrap_or(Command::Serve { no_migrate: false });
        if let Command::Serve { no_migrate } = command {
            warn_of_ignored(&environment);
            logging::follow_signals()?;
            let running = Box::pin(startup::start(&settings, !no_migrate)).await?;
            running.wait().await?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Command::Openapi = command {
            let description = openapi::document(settings.auth.mode()).to_pretty_json()?;
            output::print(format!("{description}\n").as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Command::Health = command {
            health::check(&settings.server).await?;
            output.done("healthy")?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Command::Keys(command) = command {
            let keys = startup::keys(&settings)?;
            Box::pin(command.run(&keys, &output)).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let maintenance = match startup::maintenance(&settings) {
            Err(error) if diagnosed => return doctor::unusable(&error, &output),
            maintenance => maintenance?,
        };
        if diagnosed {
            let ignored = environment.ignored();
            return doctor::run(&maintenance, &settings, ignored, &output).await;
        }
        Box::pin(command.run(&maintenance, &output)).await
    }
}

impl Command {
    async fn run(self, maintenance: &Maintenance, output: &Output) -> anyhow::Result<ExitCode> {
        match self {
            // Done above.
            Self::Serve { .. }
            | Self::Completions { .. }
            | Self::Doctor
            | Self::Health
            | Self::Keys(_)
            | Self::Openapi => Ok(ExitCode::SUCCESS),
            Self::Migrate => {
                retry(|| maintenance.migrate()).await?;
                output.done("the schema is up to date")?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Jobs(command) => {
                command.run(maintenance, output).await?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Applications(command) => {
                command.run(maintenance, output).await?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Search(command) => command.run(maintenance, output).await,
            Self::Counts(command) => command.run(maintenance, output).await,
            Self::Erase(erase) => {
                erase.run(maintenance, output).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Logs one warning if variables look like settings but are none. Values are left out, as they may be secret.
fn warn_of_ignored(environment: &Environment) {
    let variables = environment.ignored().join(", ");
    if !variables.is_empty() {
        warn!(
            variables,
            "Environment variables ignored: a setting is CONFAB_BACKING or has the form CONFAB_SECTION__KEY, with two underscores"
        );
    }
}

/// Exit code 1 if differences remain, else 0.
fn exit_code(findings: usize, repaired: usize) -> ExitCode {
    if findings > repaired {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
