//! What the program does in a second, and what the stores under it could do: `make bench`. README.md says how to read
//! its table.

mod client;
mod confab;
mod ground;
mod groups;
mod limits;
mod measure;
mod requests;
mod sheet;
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

use self::{groups::Bench, sheet::Sheet, stores::Stores};

#[derive(Debug, Parser)]
#[command(about = "Measures confab beside what its stores could do")]
struct Arguments {
    /// What to measure; everything but the growth if nothing is named.
    groups: Vec<Group>,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Multiplies the amounts of data and the long times: 0.05 is enough to see that it runs.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Accepting messages, at 1, 16, 64 and 256 connections.
    Accept,
    /// Accepting while what was accepted is being stored.
    Draining,
    /// Draining 100,000 messages.
    Drain,
    /// Reading and searching 100,000 messages.
    Reads,
    /// A mixed load at half the capacity.
    Mixed,
    /// Memory with 1,000,000 jobs waiting, and the first answer after a start.
    Memory,
    /// The same in a chat of 1,000,000 messages, and beside 2,000,000.
    Growth,
    /// One process and four.
    Processes,
}

/// What `make bench` measures; `make bench-full` has the others.
const USUAL: [Group; 6] = [
    Group::Accept,
    Group::Draining,
    Group::Drain,
    Group::Reads,
    Group::Mixed,
    Group::Memory,
];

/// Where everything that is written goes: beside the build.
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
        sheet: Sheet::default(),
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
            bench.sheet.fail(&format!("{group:?}"), &error);
        }
        eprintln!("{group:?} took {:.0} s", begin.elapsed().as_secs_f64());
    }
    bench.stores.remove().await?;
    std::fs::remove_dir_all(folder().join("data")).ok();
    bench.sheet.print();
    let names: Vec<String> = chosen
        .iter()
        .map(|group| format!("{group:?}").to_lowercase())
        .collect();
    let name = if chosen == USUAL {
        "bench".to_owned()
    } else {
        names.join("-")
    };
    bench.sheet.write(&folder().join(format!("{name}.json")))?;
    println!("{:.0} s in all", began.elapsed().as_secs_f64());
    Ok(bench.sheet.is_whole())
}
