//! Measures the throughput of the program and of its stores: `make bench`. README.md explains the table.

mod client;
mod confab;
mod fixture;
mod groups;
mod limits;
mod report;
mod requests;
mod resources;
mod stores;
mod texts;
mod wrk;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use clap::{Parser, ValueEnum};

use self::{groups::Bench, report::Report, stores::Stores};

#[derive(Debug, Parser)]
#[command(about = "Measures confab beside what its stores could do")]
struct Arguments {
    /// The parts to measure; without any, everything except growth and processes.
    groups: Vec<Group>,
    /// The number of rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Multiplies amounts of data and long durations; 0.05 is enough for a smoke test.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Added by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Accepting messages, at 1, 16, 64 and 256 connections.
    Accept,
    /// Accepting while messages are being stored.
    Draining,
    /// Draining 100,000 messages.
    Drain,
    /// Reading and searching 100,000 messages.
    Reads,
    /// A mixed load at half the capacity.
    Mixed,
    /// Memory with 1,000,000 jobs waiting, and the first response after a start.
    Memory,
    /// All of it in a chat of 1,000,000 messages, and beside 2,000,000.
    Growth,
    /// One process, and four.
    Processes,
}

/// The parts of `make bench`; `make bench-full` measures the others.
const USUAL: [Group; 6] = [
    Group::Accept,
    Group::Draining,
    Group::Drain,
    Group::Reads,
    Group::Mixed,
    Group::Memory,
];

/// The folder of all output, below the build folder.
pub fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.unwrap_or(Path::new("target")).join("bench")
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match arguments.get(1).map(String::as_str) {
        Some("limit") => limits::run(&arguments[2..]).await.map(|()| true),
        _ => bench(Arguments::parse()).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: Arguments) -> Result<bool> {
    let began = Instant::now();
    std::fs::create_dir_all(folder())?;
    let mut bench = Bench {
        stores: Stores::from_environment()?,
        rounds: arguments.rounds.max(1),
        scale: arguments.scale,
        report: Report::default(),
    };
    let named = arguments.groups;
    let chosen = if named.is_empty() {
        USUAL.to_vec()
    } else {
        named
    };
    for group in &chosen {
        let begin = Instant::now();
        let measured = match group {
            Group::Accept => groups::accept::run(&mut bench).await,
            Group::Draining => groups::draining::run(&mut bench).await,
            Group::Drain => groups::drain::run(&mut bench).await,
            Group::Reads => groups::reads::run(&mut bench).await,
            Group::Mixed => groups::mixed::run(&mut bench).await,
            Group::Memory => groups::memory::run(&mut bench).await,
            Group::Growth => groups::growth::run(&mut bench).await,
            Group::Processes => groups::processes::run(&mut bench).await,
        };
        if let Err(error) = measured {
            bench.report.fail(&format!("{group:?}"), &error);
        }
        eprintln!("{group:?} took {:.0} s", begin.elapsed().as_secs_f64());
    }
    bench.stores.remove().await?;
    std::fs::remove_dir_all(folder().join("data")).ok();
    bench.report.print();
    let names: Vec<String> = chosen
        .iter()
        .map(|group| format!("{group:?}").to_lowercase())
        .collect();
    let name = if chosen == USUAL {
        "bench".to_owned()
    } else {
        names.join("-")
    };
    bench.report.write(&folder().join(format!("{name}.json")))?;
    println!("{:.0} s in all", began.elapsed().as_secs_f64());
    Ok(bench.report.is_whole())
}
