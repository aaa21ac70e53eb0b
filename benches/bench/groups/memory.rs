//! Memory with a million waiting jobs, and the first response after a start. One round, because filling is slow.

use anyhow::Result;

use super::Bench;
use crate::{
    confab,
    fixture::{BACKENDS, BackendKind},
    resources,
};

/// The maximum of `limits.queue_depth`.
const JOBS: u64 = 1_000_000;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let jobs = bench.messages(JOBS);
    for backend in BACKENDS {
        eprintln!("memory, {backend}");
        let fixture = bench.fixture(backend);
        let process = fixture.serve_empty(&[]).await?;
        let app = confab::create_application(process.port).await?;
        let chat = confab::create_chat(process.port, &app).await?;
        let mut inspector = fixture.inspector().await?;
        inspector.wait_for_jobs(0).await?;
        let first = chat.show(1);
        let start = |stored: &str| format!("first answer after start, {stored}, {backend}");
        if backend == BackendKind::Services {
            fixture.fill(&process, &chat, 1).await?;
        }
        fixture.pause()?;
        let seconds = fixture.fill(&process, &chat, jobs).await?;
        eprintln!("  filled in {seconds:.0} s");
        let name = format!("resident, {jobs} jobs waiting, {backend}");
        bench
            .report
            .add(&name, "MiB", resources::peak_mib(process.id()));
        bench.report.set_bound(&name, 80.0);
        process.stop()?;
        if backend == BackendKind::Embedded {
            fixture.resume()?;
            let process = fixture.serve(&[]).await?;
            inspector.wait_for_jobs(0).await?;
            bench.report.add(
                &format!("  the same after they were stored, {backend}"),
                "MiB",
                resources::peak_mib(process.id()),
            );
            process.stop()?;
        }
        let name = match backend {
            BackendKind::Services => start(&format!("{jobs} jobs waiting")),
            BackendKind::Embedded => start(&format!("{jobs} messages stored")),
        };
        for _ in 0..bench.rounds.max(3) {
            let mut process = confab::launch(&fixture.settings(&[]))?;
            let answered = process.responses(&first).await?;
            bench.report.add(&name, "s", answered.as_secs_f64());
            process.stop()?;
        }
        if backend == BackendKind::Embedded {
            bench.report.set_bound(&name, 0.5);
        }
        fixture.wipe().await?;
    }
    Ok(())
}
