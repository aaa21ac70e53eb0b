//! One process and four on the same stores.

use anyhow::Result;

use super::{Bench, CONNECTIONS, drain};
use crate::{
    client::{self, LoadModel},
    confab::{self, Process},
    fixture::BackendKind,
    requests::{Chat, RequestSpec},
    texts,
};

const MESSAGES: u64 = 50_000;

/// The number of requests of a read measurement.
const READS: u64 = 30_000;

/// Creates request `n` in a chat.
type MakeRequest = fn(&Chat, u64) -> RequestSpec;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture(BackendKind::Services);
    let (messages, reads) = (bench.messages(MESSAGES), bench.messages(READS));
    let mut processes = vec![fixture.serve_empty(&[]).await?];
    let app = confab::create_application(processes[0].port).await?;
    for round in 0..bench.rounds {
        for count in [1, 4] {
            eprintln!("processes, {count}, round {}", round + 1);
            while processes.len() < count {
                processes.push(fixture.serve(&[]).await?);
            }
            while processes.len() > count {
                processes.pop().map(Process::stop).transpose()?;
            }
            let ports: Vec<u16> = processes.iter().map(|process| process.port).collect();
            let connections = CONNECTIONS as usize / count;
            let chat = confab::create_chat(ports[0], &app).await?;
            fixture.pause()?;
            let create = chat.clone();
            let spec = move |n| create.create(&texts::of_many(n, messages));
            let filled =
                client::drive(&ports, connections, messages, LoadModel::Closed, spec).await?;
            add(bench, "accept", count, messages as f64 / filled.seconds);
            let drained = drain::finish(&fixture).await?;
            add(bench, "drain to stored", count, drained.stored);
            add(bench, "drain to found", count, drained.found);
            let specs: [(&str, MakeRequest); 4] = [
                ("GET message", |chat, n| chat.show(n + 1)),
                ("list of 100", |chat, n| chat.list(n % 900)),
                ("search, rare word", |chat, _| chat.search(texts::RARE)),
                ("search, common word", |chat, _| chat.search(texts::COMMON)),
            ];
            for (name, make_request) in specs {
                let (chat, requests) = (
                    chat.clone(),
                    if name == "GET message" {
                        reads
                    } else {
                        reads / 5
                    },
                );
                let read =
                    client::drive(&ports, connections, requests, LoadModel::Closed, move |n| {
                        make_request(&chat, n)
                    })
                    .await?;
                add(bench, name, count, requests as f64 / read.seconds);
            }
        }
    }
    drop(processes);
    fixture.wipe().await
}

fn add(bench: &mut Bench, measure: &str, processes: usize, value: f64) {
    let name = |processes| match processes {
        1 => format!("{measure}, 1 process"),
        _ => format!("{measure}, {processes} processes"),
    };
    bench.report.add(&name(processes), "/s", value);
    if processes > 1 {
        bench.report.compare(&name(processes), &name(1), None);
    }
}
