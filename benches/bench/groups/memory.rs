//! Memory with a million jobs waiting, and the first answer after a start. One round: filling takes its time.

use anyhow::Result;

use super::Bench;
use crate::{
    confab,
    ground::{BACKINGS, Backing},
    measure,
};

/// As many as `limits.queue_depth` allows.
const JOBS: u64 = 1_000_000;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let jobs = bench.messages(JOBS);
    for backing in BACKINGS {
        eprintln!("memory, {backing}");
        let ground = bench.ground(backing);
        let process = ground.serve_empty(&[]).await?;
        let app = confab::create_application(process.port).await?;
        let chat = confab::create_chat(process.port, &app).await?;
        let mut eyes = ground.eyes().await?;
        eyes.until_jobs(0).await?;
        let first = chat.show(1);
        let start = |stored: &str| format!("first answer after start, {stored}, {backing}");
        if backing == Backing::Services {
            ground.fill(&process, &chat, 1).await?;
        }
        ground.pause()?;
        let seconds = ground.fill(&process, &chat, jobs).await?;
        eprintln!("  filled in {seconds:.0} s");
        let name = format!("resident, {jobs} jobs waiting, {backing}");
        bench
            .sheet
            .add(&name, "MiB", measure::peak_mib(process.id()));
        bench.sheet.bound(&name, 80.0);
        process.stop()?;
        if backing == Backing::Embedded {
            ground.resume()?;
            let process = ground.serve(&[]).await?;
            eyes.until_jobs(0).await?;
            bench.sheet.add(
                &format!("  the same after they were stored, {backing}"),
                "MiB",
                measure::peak_mib(process.id()),
            );
            process.stop()?;
        }
        let name = match backing {
            Backing::Services => start(&format!("{jobs} jobs waiting")),
            Backing::Embedded => start(&format!("{jobs} messages stored")),
        };
        for _ in 0..bench.rounds.max(3) {
            let mut process = confab::launch(&ground.settings(&[]))?;
            let answered = process.answers(&first).await?;
            bench.sheet.add(&name, "s", answered.as_secs_f64());
            process.stop()?;
        }
        if backing == Backing::Embedded {
            bench.sheet.bound(&name, 0.5);
        }
        ground.wipe().await?;
    }
    Ok(())
}
