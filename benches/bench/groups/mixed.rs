//! A mixed load at half of what the program can do: how long answers take when nobody waits for them to ask for more.

use anyhow::Result;

use super::{Bench, CONNECTIONS, drain};
use crate::{
    client::{self, Outcome, Pace},
    confab,
    ground::BACKINGS,
    limits,
    measure::{self, Watch},
    requests::Ask,
    sheet::Bound,
    wrk::Load,
};

/// Messages that the chat has at first.
const MESSAGES: u64 = 20_000;

/// Seconds of one run.
const SECONDS: f64 = 6.0;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let messages = bench.messages(MESSAGES);
    let handler = limits::launch("handler", None).await?;
    for backing in BACKINGS {
        let ground = bench.ground(backing);
        let process = ground.serve_empty(&[]).await?;
        let idle = format!("resident, idle, {backing}");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        bench
            .sheet
            .add(&idle, "MiB", measure::resident_mib(process.id()));
        bench.sheet.bound(&idle, 25.0);
        let app = confab::create_application(process.port).await?;
        let chat = confab::create_chat(process.port, &app).await?;
        drain::once(&ground, &process, &chat, messages).await?;
        let mixed = move |n| chat.mixed(n, messages);
        let asks: Vec<Ask> = (0..5000).map(&mixed).collect();
        let capacity = format!("mixed load, capacity, {backing}");
        let seen = bench.load_for(
            &capacity,
            &ground,
            &process,
            &Load::new("mixed", &asks, None)?,
            CONNECTIONS,
            3.0,
        )?;
        let rate = seen.per_second / 2.0;
        let count = (rate * bench.seconds(SECONDS)) as u64;
        // What the capacity left to be stored is not part of half of it.
        ground.eyes().await?.until_jobs(0).await?;
        let drive = |port: u16| {
            let pace = Pace::Open(rate);
            let mixed = mixed.clone();
            async move { client::drive(&[port], CONNECTIONS as usize, count, pace, mixed).await }
        };
        for round in 0..bench.rounds {
            eprintln!(
                "mixed load, {backing}, {rate:.0} a second, round {}",
                round + 1
            );
            let name = format!("mixed load, {backing}");
            let of = format!("bare handler at the rate of {backing}");
            let watch = Watch::begin(ground.watched(&[&process]));
            let open = drive(process.port).await?;
            let uses = watch.end(count as f64);
            if let Some((_, used)) = uses.first() {
                let peak = format!("resident, mixed load, {backing}");
                bench.sheet.add(&peak, "MiB", used.peak_mib);
                bench.sheet.bound(&peak, 80.0);
            }
            add(bench, &name, &open);
            bench.sheet.add_uses(&format!("{name}, p50"), uses);
            let open = drive(handler.port).await?;
            add(bench, &of, &open);
            bench
                .sheet
                .hold(&format!("{name}, p50"), &format!("{of}, p50"), None);
            bench
                .sheet
                .hold(&format!("{name}, p95"), &format!("{of}, p95"), None);
            bench.sheet.hold(
                &format!("{name}, p99"),
                &format!("{of}, p99"),
                Some(Bound::MostOf(2.0, 5.0)),
            );
        }
        drop(process);
        ground.wipe().await?;
    }
    Ok(())
}

fn add(bench: &mut Bench, name: &str, outcome: &Outcome) {
    for (percent, part) in [(50, 0.5), (95, 0.95), (99, 0.99)] {
        bench.sheet.add(
            &format!("{name}, p{percent}"),
            "ms",
            outcome.percentile(part),
        );
    }
}
