//! The effect of existing data: in a chat of a million messages, beside 100,000 chats, with two million messages in
//! all.

use anyhow::Result;

use super::{Bench, CONNECTIONS, reads::HITS};
use crate::{
    client::{self, LoadModel},
    confab::{self, Process},
    fixture::{BACKENDS, Fixture},
    report::Bound,
    requests::{CREATED, Chat, SHOWN, listed},
    texts,
    wrk::Load,
};

const LARGE: u64 = 1_000_000;
const CHATS: u64 = 100_000;
const EACH: u64 = 10;

/// The number of messages in a new chat.
const SMALL: u64 = 1000;

/// The measurements in each chat, and whether the large chat has a target.
const MEASURES: [(&str, bool); 7] = [
    ("GET message", true),
    ("list of 100", true),
    ("search, rare word", true),
    ("search, common word", false),
    ("accept", true),
    ("drain to stored", true),
    ("drain to found", true),
];

pub async fn run(bench: &mut Bench) -> Result<()> {
    let (large, chats) = (bench.messages(LARGE), bench.messages(CHATS));
    for backend in BACKENDS {
        let fixture = bench.fixture(backend);
        let process = fixture.serve_empty(&[]).await?;
        let app = confab::create_application(process.port).await?;
        let run = GrowthRun {
            fixture,
            process,
            app,
        };
        let empty = format!("new chat in an empty store, {backend}");
        let beside_large = format!("new chat beside {large} messages, {backend}");
        let in_large = format!("in the chat of {large} messages, {backend}");
        let beside_all = format!(
            "new chat beside {chats} chats, {} messages, {backend}",
            large + chats * EACH
        );

        for round in 0..bench.rounds {
            eprintln!("growth, {empty}, round {}", round + 1);
            run.new_chat(bench, &empty).await?;
        }
        let chat = run.filled(large).await?;
        for round in 0..bench.rounds {
            eprintln!("growth, {backend}, {large} messages, round {}", round + 1);
            run.new_chat(bench, &beside_large).await?;
            run.measure(bench, &chat, large, &in_large).await?;
        }
        run.fill_many(chats).await?;
        for round in 0..bench.rounds {
            eprintln!("growth, {beside_all}, round {}", round + 1);
            run.new_chat(bench, &beside_all).await?;
        }
        for (measure, must) in MEASURES {
            let name = |case: &String| format!("{measure}, {case}");
            bench.report.compare(
                &name(&in_large),
                &name(&beside_large),
                must.then_some(Bound::Least(0.9)),
            );
            bench
                .report
                .compare(&name(&beside_large), &name(&empty), None);
            bench
                .report
                .compare(&name(&beside_all), &name(&empty), None);
        }
        let GrowthRun {
            fixture, process, ..
        } = run;
        drop(process);
        fixture.wipe().await?;
    }
    Ok(())
}

struct GrowthRun {
    fixture: Fixture,
    process: Process,
    app: String,
}

impl GrowthRun {
    /// Creates a chat with a number of messages, all stored and indexed.
    async fn filled(&self, messages: u64) -> Result<Chat> {
        let chat = confab::create_chat(self.process.port, &self.app).await?;
        self.fixture.fill(&self.process, &chat, messages).await?;
        self.settle().await?;
        Ok(chat)
    }

    async fn settle(&self) -> Result<()> {
        let mut inspector = self.fixture.inspector().await?;
        inspector.wait_for_jobs(0).await?;
        inspector.wait_until_indexed().await
    }

    /// Creates many chats of ten messages each in an application of their own.
    async fn fill_many(&self, chats: u64) -> Result<()> {
        let port = self.process.port;
        let app = confab::create_application(port).await?;
        let path = format!("/application/{app}/chat");
        let create = move |_| crate::requests::RequestSpec {
            method: "POST",
            path: path.clone(),
            body: String::new(),
        };
        client::drive(
            &[port],
            CONNECTIONS as usize,
            chats,
            LoadModel::Closed,
            create,
        )
        .await?;
        let fill = move |n| {
            let chat = Chat {
                app: app.clone(),
                number: n % chats + 1,
            };
            chat.create(&texts::message(n))
        };
        client::drive(
            &[port],
            CONNECTIONS as usize,
            chats * EACH,
            LoadModel::Closed,
            fill,
        )
        .await?;
        self.settle().await
    }

    async fn new_chat(&self, bench: &mut Bench, case: &str) -> Result<()> {
        let chat = self.filled(SMALL).await?;
        self.measure(bench, &chat, SMALL, case).await
    }

    /// Reads, searches and writes in a chat whose first messages contain the rare word ten times.
    async fn measure(
        &self,
        bench: &mut Bench,
        chat: &Chat,
        messages: u64,
        case: &str,
    ) -> Result<()> {
        let reads = [
            (MEASURES[0].0, chat.shows(messages), SHOWN),
            (MEASURES[1].0, chat.lists(messages), listed(100)),
            (
                MEASURES[2].0,
                vec![chat.search(texts::RARE)],
                listed(texts::RARE_HITS as u32),
            ),
            (
                MEASURES[3].0,
                vec![chat.search(texts::COMMON)],
                listed(HITS),
            ),
        ];
        for (measure, specs, expect) in reads {
            let load = Load::new("growth", &specs, Some(expect))?;
            let name = format!("{measure}, {case}");
            bench.load(&name, &self.fixture, &self.process, &load, CONNECTIONS)?;
        }
        self.fixture.pause()?;
        let load = Load::new("growth", &chat.creates(), Some(CREATED))?;
        let accepted = format!("{}, {case}", MEASURES[4].0);
        bench.load(&accepted, &self.fixture, &self.process, &load, CONNECTIONS)?;
        let drained = super::drain::finish(&self.fixture).await?;
        bench
            .report
            .add(&format!("{}, {case}", MEASURES[5].0), "/s", drained.stored);
        bench
            .report
            .add(&format!("{}, {case}", MEASURES[6].0), "/s", drained.found);
        Ok(())
    }
}
