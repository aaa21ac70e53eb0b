//! One process and four on the same stores.

use anyhow::Result;

use super::{Bench, CONNECTIONS, drain};
use crate::{
    client::{self, Pace},
    confab::{self, Process},
    ground::Backing,
    requests::{Ask, Chat},
    texts,
};

const MESSAGES: u64 = 50_000;

/// Requests of one measurement of reading.
const READS: u64 = 30_000;

/// The request of this number in a chat.
type MakeAsk = fn(&Chat, u64) -> Ask;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let ground = bench.ground(Backing::Services);
    let (messages, reads) = (bench.messages(MESSAGES), bench.messages(READS));
    let mut processes = vec![ground.serve_empty(&[]).await?];
    let app = confab::create_application(processes[0].port).await?;
    for round in 0..bench.rounds {
        for count in [1, 4] {
            eprintln!("processes, {count}, round {}", round + 1);
            while processes.len() < count {
                processes.push(ground.serve(&[]).await?);
            }
            while processes.len() > count {
                processes.pop().map(Process::stop).transpose()?;
            }
            let ports: Vec<u16> = processes.iter().map(|process| process.port).collect();
            let connections = CONNECTIONS as usize / count;
            let chat = confab::create_chat(ports[0], &app).await?;
            ground.pause()?;
            let create = chat.clone();
            let ask = move |n| create.create(&texts::of_many(n, messages));
            let filled = client::drive(&ports, connections, messages, Pace::Closed, ask).await?;
            add(bench, "accept", count, messages as f64 / filled.seconds);
            let drained = drain::finish(&ground).await?;
            add(bench, "drain to stored", count, drained.stored);
            add(bench, "drain to found", count, drained.found);
            let asks: [(&str, MakeAsk); 4] = [
                ("GET message", |chat, n| chat.show(n + 1)),
                ("list of 100", |chat, n| chat.list(n % 900)),
                ("search, rare word", |chat, _| chat.search(texts::RARE)),
                ("search, common word", |chat, _| chat.search(texts::COMMON)),
            ];
            for (name, ask) in asks {
                let (chat, requests) = (
                    chat.clone(),
                    if name == "GET message" {
                        reads
                    } else {
                        reads / 5
                    },
                );
                let read = client::drive(&ports, connections, requests, Pace::Closed, move |n| {
                    ask(&chat, n)
                })
                .await?;
                add(bench, name, count, requests as f64 / read.seconds);
            }
        }
    }
    drop(processes);
    ground.wipe().await
}

fn add(bench: &mut Bench, measure: &str, processes: usize, value: f64) {
    let name = |processes| match processes {
        1 => format!("{measure}, 1 process"),
        _ => format!("{measure}, {processes} processes"),
    };
    bench.sheet.add(&name(processes), "/s", value);
    if processes > 1 {
        bench.sheet.hold(&name(processes), &name(1), None);
    }
}
