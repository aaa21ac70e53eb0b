//! A mixed load at half the capacity: latency in an open loop.

use anyhow::Result;

use super::{Bench, CONNECTIONS, drain};
use crate::{
    client::{self, LoadModel, Outcome},
    confab,
    fixture::BACKENDS,
    limits,
    report::Bound,
    requests::RequestSpec,
    resources::{self, ResourceMonitor},
    wrk::Load,
};

/// The number of messages in the chat at the start.
const MESSAGES: u64 = 20_000;

/// The duration of a run in seconds.
const SECONDS: f64 = 6.0;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let messages = bench.messages(MESSAGES);
    let handler = limits::launch("handler", None).await?;
    for backend in BACKENDS {
        let fixture = bench.fixture(backend);
        let process = fixture.serve_empty(&[]).await?;
        let idle = format!("resident, idle, {backend}");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        bench
            .report
            .add(&idle, "MiB", resources::resident_mib(process.id()));
        bench.report.set_bound(&idle, 25.0);
        let app = confab::create_application(process.port).await?;
        let chat = confab::create_chat(process.port, &app).await?;
        drain::once(&fixture, &process, &chat, messages).await?;
        let mixed = move |n| chat.mixed(n, messages);
        let specs: Vec<RequestSpec> = (0..5000).map(&mixed).collect();
        let capacity = format!("mixed load, capacity, {backend}");
        let measurement = bench.load_for(
            &capacity,
            &fixture,
            &process,
            &Load::new("mixed", &specs, None)?,
            CONNECTIONS,
            3.0,
        )?;
        let rate = measurement.per_second / 2.0;
        let count = (rate * bench.seconds(SECONDS)) as u64;
        // Jobs left by the capacity run are not part of the load.
        fixture.inspector().await?.wait_for_jobs(0).await?;
        let drive = |port: u16| {
            let model = LoadModel::Open(rate);
            let mixed = mixed.clone();
            async move { client::drive(&[port], CONNECTIONS as usize, count, model, mixed).await }
        };
        for round in 0..bench.rounds {
            eprintln!(
                "mixed load, {backend}, {rate:.0} a second, round {}",
                round + 1
            );
            let name = format!("mixed load, {backend}");
            let of = format!("bare handler at the rate of {backend}");
            let monitor = ResourceMonitor::begin(fixture.monitored(&[&process]));
            let open = drive(process.port).await?;
            let usages = monitor.end(count as f64);
            if let Some((_, used)) = usages.first() {
                let peak = format!("resident, mixed load, {backend}");
                bench.report.add(&peak, "MiB", used.peak_mib);
                bench.report.set_bound(&peak, 80.0);
            }
            add(bench, &name, &open);
            bench.report.add_usages(&format!("{name}, p50"), usages);
            let open = drive(handler.port).await?;
            add(bench, &of, &open);
            bench
                .report
                .compare(&format!("{name}, p50"), &format!("{of}, p50"), None);
            bench
                .report
                .compare(&format!("{name}, p95"), &format!("{of}, p95"), None);
            bench.report.compare(
                &format!("{name}, p99"),
                &format!("{of}, p99"),
                Some(Bound::MostOf(2.0, 5.0)),
            );
        }
        drop(process);
        fixture.wipe().await?;
    }
    Ok(())
}

fn add(bench: &mut Bench, name: &str, outcome: &Outcome) {
    for (percent, part) in [(50, 0.5), (95, 0.95), (99, 0.99)] {
        bench.report.add(
            &format!("{name}, p{percent}"),
            "ms",
            outcome.percentile(part),
        );
    }
}
