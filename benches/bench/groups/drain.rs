//! Draining a queue that is full: from accepted to stored, and to found by search.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    confab::{self, Process},
    ground::{BACKINGS, Backing, Ground},
    limits,
    measure::Watch,
    requests::Chat,
    sheet::Bound,
};

const MESSAGES: u64 = 100_000;

/// How fast a queue was drained.
pub struct Drained {
    /// Messages stored in a second.
    pub stored: f64,
    /// Messages that could be found, a second.
    pub found: f64,
}

/// Fills a chat while nothing is stored, then has it drained.
pub async fn once(
    ground: &Ground,
    process: &Process,
    chat: &Chat,
    messages: u64,
) -> Result<Drained> {
    ground.pause()?;
    ground.fill(process, chat, messages).await?;
    finish(ground).await
}

/// Drains what was accepted while nothing was stored.
pub async fn finish(ground: &Ground) -> Result<Drained> {
    // Of a load that was cut off, some requests are still in hand.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut eyes = ground.eyes().await?;
    let before = eyes.rows().await?;
    let waiting = eyes.jobs().await?;
    // The command takes a moment: the clock starts with the first batch that is seen to be stored.
    let resumed = ground.clone();
    let resuming = tokio::task::spawn_blocking(move || resumed.resume());
    let jobs = eyes.until_jobs(waiting.saturating_sub(1)).await?;
    let begin = Instant::now();
    eyes.until_jobs(0).await?;
    let stored = begin.elapsed().as_secs_f64();
    eyes.until_found().await?;
    let found = begin.elapsed().as_secs_f64();
    resuming.await??;
    let rows = eyes.rows().await? - before;
    ensure!(rows == waiting, "of {waiting} messages {rows} were stored");
    Ok(Drained {
        stored: jobs as f64 / stored,
        found: waiting as f64 / found,
    })
}

pub async fn run(bench: &mut Bench) -> Result<()> {
    let messages = bench.messages(MESSAGES);
    for round in 0..bench.rounds {
        eprintln!("drain, round {}", round + 1);
        for backing in BACKINGS {
            let ground = bench.ground(backing);
            let process = ground.serve_empty(&[]).await?;
            let app = confab::create_application(process.port).await?;
            let chat = confab::create_chat(process.port, &app).await?;
            let watch = Watch::begin(ground.watched(&[&process]));
            let drained = once(&ground, &process, &chat, messages).await?;
            let stored = format!("drain to stored, {backing}");
            let found = format!("drain to found, {backing}");
            bench.sheet.add(&stored, "/s", drained.stored);
            bench.sheet.add(&found, "/s", drained.found);
            // From the first request to the last document.
            bench.sheet.add_uses(&found, watch.end(messages as f64));
            drop(process);
            if backing == Backing::Services {
                let upsert = limits::measure("upsert", &bench.stores.database(), messages)?;
                bench.sheet.add("bare upsert", "/s", upsert);
                let bulk = limits::measure("bulk", bench.stores.elasticsearch_url(), messages)?;
                bench.sheet.add("bare _bulk", "/s", bulk);
                bench
                    .sheet
                    .hold(&stored, "bare upsert", Some(Bound::Least(0.4)));
                bench
                    .sheet
                    .hold(&found, "bare _bulk", Some(Bound::Least(0.7)));
            }
            ground.wipe().await?;
        }
    }
    Ok(())
}
