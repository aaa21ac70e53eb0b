//! Accepting messages without workers: each response is sent after its job is on disk.

use anyhow::Result;

use super::{Bench, CONNECTIONS, NO_WORKERS};
use crate::{
    confab,
    fixture::{BACKENDS, BackendKind},
    limits,
    report::Bound,
    requests::{CREATED, Chat},
    wrk::Load,
};

pub async fn run(bench: &mut Bench) -> Result<()> {
    let anywhere = Chat {
        app: "dec969c6".into(),
        number: 1,
    };
    let bare = Load::new("limit-creates", &anywhere.creates(), Some(CREATED))?;
    let handler = limits::launch("handler", None).await?;
    let redis_url = bench.stores.redis_url().to_owned();
    let script = limits::launch("script", Some(&redis_url)).await?;
    let increment = limits::launch("increment", Some(&redis_url)).await?;
    for round in 0..bench.rounds {
        eprintln!("accept, round {}", round + 1);
        for backend in BACKENDS {
            let fixture = bench.fixture(backend);
            let process = fixture.serve_empty(&NO_WORKERS).await?;
            let app = confab::create_application(process.port).await?;
            let chat = confab::create_chat(process.port, &app).await?;
            let creates = Load::new("creates", &chat.creates(), Some(CREATED))?;
            for connections in [1, 16, CONNECTIONS, 256] {
                let name = format!("accept, {connections} connections, {backend}");
                let of = format!("accept, {connections} connections, bare handler");
                bench.load(&name, &fixture, &process, &creates, connections)?;
                if backend == BackendKind::Services {
                    bench.load_limit(&of, &handler, &bare, connections)?;
                }
                let least = match backend {
                    BackendKind::Services => Bound::Least(0.55),
                    BackendKind::Embedded => Bound::Least(0.4),
                };
                bench
                    .report
                    .compare(&name, &of, (connections == CONNECTIONS).then_some(least));
            }
            if backend == BackendKind::Services {
                let name = format!("accept, {CONNECTIONS} connections, services");
                let with_script = "handler with the accept script";
                let with_increment = "handler with INCR and LPUSH";
                // Redis forgets both by the next wipe: the epoch and the counter are made each time.
                limits::script::seed(&mut bench.stores.redis().await?, "dec969c6", 1).await?;
                bench.load_limit(with_script, &script, &bare, CONNECTIONS)?;
                bench.load_limit(with_increment, &increment, &bare, CONNECTIONS)?;
                bench
                    .report
                    .compare(&name, with_script, Some(Bound::Least(0.9)));
                bench.report.compare(with_script, with_increment, None);
                bench
                    .report
                    .compare(with_script, "accept, 64 connections, bare handler", None);
            }
            drop(process);
            fixture.wipe().await?;
        }
    }
    Ok(())
}
