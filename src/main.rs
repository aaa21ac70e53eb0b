//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use confab::{cli::Cli, telemetry::logging};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = Cli::parse().run().await;
    logging::end();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("confab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
