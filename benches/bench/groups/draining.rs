//! Accepting while messages are being stored and indexed.

use std::time::Instant;

use anyhow::Result;

use super::{Bench, CONNECTIONS, NO_WORKERS, SECONDS};
use crate::{
    confab,
    fixture::{BACKENDS, BackendKind},
    report::Bound,
    requests::CREATED,
    wrk::Load,
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    for round in 0..bench.rounds {
        eprintln!("accept while draining, round {}", round + 1);
        for backend in BACKENDS {
            let fixture = bench.fixture(backend);
            let alone = format!("accept alone, {backend}");
            let name = format!("accept while draining, {backend}");
            let seconds = match backend {
                BackendKind::Services => bench.seconds(30.0),
                BackendKind::Embedded => bench.seconds(10.0),
            };
            for (name, workers, seconds) in [(&alone, false, SECONDS), (&name, true, seconds)] {
                let settings: &[_] = if workers { &[] } else { &NO_WORKERS };
                let process = fixture.serve_empty(settings).await?;
                let app = confab::create_application(process.port).await?;
                let chat = confab::create_chat(process.port, &app).await?;
                let load = Load::new("creates", &chat.creates(), Some(CREATED))?;
                let mut inspector = fixture.inspector().await?;
                bench.load_for(name, &fixture, &process, &load, CONNECTIONS, seconds)?;
                if workers {
                    let (end, waiting, lag) = (
                        Instant::now(),
                        inspector.jobs().await?,
                        inspector.index_lag().await?,
                    );
                    inspector.wait_for_jobs(0).await?;
                    let gone = end.elapsed().as_secs_f64();
                    bench.report.add(
                        &format!("  jobs waiting at its end, {backend}"),
                        "jobs",
                        waiting as f64,
                    );
                    let until_gone = format!("  until they are gone, {backend}");
                    bench.report.add(&until_gone, "s", gone);
                    bench
                        .report
                        .add(&format!("  index lag at its end, {backend}"), "s", lag);
                    if backend == BackendKind::Services {
                        bench.report.set_bound(&until_gone, 10.0);
                    }
                }
            }
            let least = (backend == BackendKind::Services).then_some(Bound::Least(0.5));
            bench.report.compare(&name, &alone, least);
            fixture.wipe().await?;
        }
    }
    Ok(())
}
