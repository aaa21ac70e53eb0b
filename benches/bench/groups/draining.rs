//! Accepting while what was accepted is being stored and indexed.

use std::time::Instant;

use anyhow::Result;

use super::{Bench, CONNECTIONS, NO_WORKERS, SECONDS};
use crate::{
    confab,
    ground::{BACKINGS, Backing},
    requests::CREATED,
    sheet::Bound,
    wrk::Load,
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    for round in 0..bench.rounds {
        eprintln!("accept while draining, round {}", round + 1);
        for backing in BACKINGS {
            let ground = bench.ground(backing);
            let alone = format!("accept alone, {backing}");
            let name = format!("accept while draining, {backing}");
            let seconds = match backing {
                Backing::Services => bench.seconds(30.0),
                Backing::Embedded => bench.seconds(10.0),
            };
            for (name, workers, seconds) in [(&alone, false, SECONDS), (&name, true, seconds)] {
                let settings: &[_] = if workers { &[] } else { &NO_WORKERS };
                let process = ground.serve_empty(settings).await?;
                let app = confab::create_application(process.port).await?;
                let chat = confab::create_chat(process.port, &app).await?;
                let load = Load::new("creates", &chat.creates(), Some(CREATED))?;
                let mut eyes = ground.eyes().await?;
                bench.load_for(name, &ground, &process, &load, CONNECTIONS, seconds)?;
                if workers {
                    let (end, waiting, lag) =
                        (Instant::now(), eyes.jobs().await?, eyes.index_lag().await?);
                    eyes.until_jobs(0).await?;
                    let gone = end.elapsed().as_secs_f64();
                    bench.sheet.add(
                        &format!("  jobs waiting at its end, {backing}"),
                        "jobs",
                        waiting as f64,
                    );
                    let until_gone = format!("  until they are gone, {backing}");
                    bench.sheet.add(&until_gone, "s", gone);
                    bench
                        .sheet
                        .add(&format!("  index lag at its end, {backing}"), "s", lag);
                    if backing == Backing::Services {
                        bench.sheet.bound(&until_gone, 10.0);
                    }
                }
            }
            let least = (backing == Backing::Services).then_some(Bound::Least(0.5));
            bench.sheet.hold(&name, &alone, least);
            ground.wipe().await?;
        }
    }
    Ok(())
}
