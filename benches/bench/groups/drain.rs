//! Draining a full queue: from accepted to stored, and to searchable.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    confab::{self, Process},
    fixture::{BACKENDS, BackendKind, Fixture},
    limits,
    report::Bound,
    requests::Chat,
    resources::ResourceMonitor,
};

const MESSAGES: u64 = 100_000;

/// The throughput of draining.
pub struct Drained {
    /// Messages stored per second.
    pub stored: f64,
    /// Messages made searchable per second.
    pub found: f64,
}

/// Fills a chat while storing is paused, then drains the queue.
pub async fn once(
    fixture: &Fixture,
    process: &Process,
    chat: &Chat,
    messages: u64,
) -> Result<Drained> {
    fixture.pause()?;
    fixture.fill(process, chat, messages).await?;
    finish(fixture).await
}

/// Drains a queue whose storing is paused.
pub async fn finish(fixture: &Fixture) -> Result<Drained> {
    // Some requests of an aborted load are still in flight.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut inspector = fixture.inspector().await?;
    let before = inspector.rows().await?;
    let waiting = inspector.jobs().await?;
    // The command takes time: the clock starts with the first stored batch.
    let resumed = fixture.clone();
    let resuming = tokio::task::spawn_blocking(move || resumed.resume());
    let jobs = inspector.wait_for_jobs(waiting.saturating_sub(1)).await?;
    let begin = Instant::now();
    inspector.wait_for_jobs(0).await?;
    let stored = begin.elapsed().as_secs_f64();
    inspector.wait_until_indexed().await?;
    let found = begin.elapsed().as_secs_f64();
    resuming.await??;
    let rows = inspector.rows().await? - before;
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
        for backend in BACKENDS {
            let fixture = bench.fixture(backend);
            let process = fixture.serve_empty(&[]).await?;
            let app = confab::create_application(process.port).await?;
            let chat = confab::create_chat(process.port, &app).await?;
            let monitor = ResourceMonitor::begin(fixture.monitored(&[&process]));
            let drained = once(&fixture, &process, &chat, messages).await?;
            let stored = format!("drain to stored, {backend}");
            let found = format!("drain to found, {backend}");
            bench.report.add(&stored, "/s", drained.stored);
            bench.report.add(&found, "/s", drained.found);
            // From the first request to the last document.
            bench
                .report
                .add_usages(&found, monitor.end(messages as f64));
            drop(process);
            if backend == BackendKind::Services {
                let upsert = limits::measure("upsert", &bench.stores.database(), messages)?;
                bench.report.add("bare upsert", "/s", upsert);
                let bulk = limits::measure("bulk", bench.stores.elasticsearch_url(), messages)?;
                bench.report.add("bare _bulk", "/s", bulk);
                bench
                    .report
                    .compare(&stored, "bare upsert", Some(Bound::Least(0.4)));
                bench
                    .report
                    .compare(&found, "bare _bulk", Some(Bound::Least(0.7)));
            }
            fixture.wipe().await?;
        }
    }
    Ok(())
}
