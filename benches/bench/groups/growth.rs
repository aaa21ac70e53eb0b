//! What depends on how much there is already: in a chat of a million messages, beside 100,000 chats, with two million
//! messages in all.

use anyhow::Result;

use super::{Bench, CONNECTIONS, reads::HITS};
use crate::{
    client::{self, Pace},
    confab::{self, Process},
    ground::{BACKINGS, Ground},
    requests::{CREATED, Chat, SHOWN, listed},
    sheet::Bound,
    texts,
    wrk::Load,
};

const LARGE: u64 = 1_000_000;
const CHATS: u64 = 100_000;
const EACH: u64 = 10;

/// What a new chat is given, so that there is something to read.
const SMALL: u64 = 1000;

/// What is measured in each chat, and whether the large one must keep up.
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
    for backing in BACKINGS {
        let ground = bench.ground(backing);
        let process = ground.serve_empty(&[]).await?;
        let app = confab::create_application(process.port).await?;
        let site = Site {
            ground,
            process,
            app,
        };
        let empty = format!("new chat in an empty store, {backing}");
        let beside_large = format!("new chat beside {large} messages, {backing}");
        let in_large = format!("in the chat of {large} messages, {backing}");
        let beside_all = format!(
            "new chat beside {chats} chats, {} messages, {backing}",
            large + chats * EACH
        );

        for round in 0..bench.rounds {
            eprintln!("growth, {empty}, round {}", round + 1);
            site.new_chat(bench, &empty).await?;
        }
        let chat = site.filled(large).await?;
        for round in 0..bench.rounds {
            eprintln!("growth, {backing}, {large} messages, round {}", round + 1);
            site.new_chat(bench, &beside_large).await?;
            site.measure(bench, &chat, large, &in_large).await?;
        }
        site.fill_many(chats).await?;
        for round in 0..bench.rounds {
            eprintln!("growth, {beside_all}, round {}", round + 1);
            site.new_chat(bench, &beside_all).await?;
        }
        for (measure, must) in MEASURES {
            let name = |place: &String| format!("{measure}, {place}");
            bench.sheet.hold(
                &name(&in_large),
                &name(&beside_large),
                must.then_some(Bound::Least(0.9)),
            );
            bench.sheet.hold(&name(&beside_large), &name(&empty), None);
            bench.sheet.hold(&name(&beside_all), &name(&empty), None);
        }
        let Site {
            ground, process, ..
        } = site;
        drop(process);
        ground.wipe().await?;
    }
    Ok(())
}

struct Site {
    ground: Ground,
    process: Process,
    app: String,
}

impl Site {
    /// A new chat with so many messages, all of them stored and indexed.
    async fn filled(&self, messages: u64) -> Result<Chat> {
        let chat = confab::create_chat(self.process.port, &self.app).await?;
        self.ground.fill(&self.process, &chat, messages).await?;
        self.settle().await?;
        Ok(chat)
    }

    async fn settle(&self) -> Result<()> {
        let mut eyes = self.ground.eyes().await?;
        eyes.until_jobs(0).await?;
        eyes.until_found().await
    }

    /// Many chats of ten messages each, of an application of their own.
    async fn fill_many(&self, chats: u64) -> Result<()> {
        let port = self.process.port;
        let app = confab::create_application(port).await?;
        let path = format!("/application/{app}/chat");
        let create = move |_| crate::requests::Ask {
            method: "POST",
            path: path.clone(),
            body: String::new(),
        };
        client::drive(&[port], CONNECTIONS as usize, chats, Pace::Closed, create).await?;
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
            Pace::Closed,
            fill,
        )
        .await?;
        self.settle().await
    }

    async fn new_chat(&self, bench: &mut Bench, place: &str) -> Result<()> {
        let chat = self.filled(SMALL).await?;
        self.measure(bench, &chat, SMALL, place).await
    }

    /// Reads, searches and writes in a chat whose first messages hold the rare word ten times.
    async fn measure(
        &self,
        bench: &mut Bench,
        chat: &Chat,
        messages: u64,
        place: &str,
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
        for (measure, asks, expect) in reads {
            let load = Load::new("growth", &asks, Some(expect))?;
            let name = format!("{measure}, {place}");
            bench.load(&name, &self.ground, &self.process, &load, CONNECTIONS)?;
        }
        self.ground.pause()?;
        let load = Load::new("growth", &chat.creates(), Some(CREATED))?;
        let accepted = format!("{}, {place}", MEASURES[4].0);
        bench.load(&accepted, &self.ground, &self.process, &load, CONNECTIONS)?;
        let drained = super::drain::finish(&self.ground).await?;
        bench
            .sheet
            .add(&format!("{}, {place}", MEASURES[5].0), "/s", drained.stored);
        bench
            .sheet
            .add(&format!("{}, {place}", MEASURES[6].0), "/s", drained.found);
        Ok(())
    }
}
