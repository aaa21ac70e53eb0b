//! Reading and searching 100,000 messages of one chat.

use anyhow::Result;

use super::{Bench, CONNECTIONS, drain};
use crate::{
    confab,
    ground::{BACKINGS, Backing},
    limits,
    requests::{SHOWN, listed},
    sheet::Bound,
    texts,
    wrk::Load,
};

const MESSAGES: u64 = 100_000;

/// Hits that a search answers unless it asks for another number.
pub const HITS: u32 = 20;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let messages = bench.messages(MESSAGES);
    for backing in BACKINGS {
        let ground = bench.ground(backing);
        let process = ground.serve_empty(&[]).await?;
        let app = confab::create_application(process.port).await?;
        let chat = confab::create_chat(process.port, &app).await?;
        drain::once(&ground, &process, &chat, messages).await?;
        let key = match backing {
            Backing::Services => limits::launch("key", Some(&bench.stores.database())).await?,
            Backing::Embedded => {
                limits::launch("file", Some(&ground.file().display().to_string())).await?
            }
        };
        let search = match backing {
            Backing::Services => {
                Some(limits::launch("search", Some(bench.stores.elasticsearch_url())).await?)
            }
            Backing::Embedded => None,
        };
        let shows = Load::new("shows", &chat.shows(messages), Some(SHOWN))?;
        let lists = Load::new("lists", &chat.lists(messages), Some(listed(100)))?;
        for round in 0..bench.rounds {
            eprintln!("reads, {backing}, round {}", round + 1);
            let name = format!("GET message, {backing}");
            let of = format!("handler with a bare key read, {backing}");
            bench.load(&name, &ground, &process, &shows, CONNECTIONS)?;
            bench.load_limit(&of, &key, &shows, CONNECTIONS)?;
            bench.sheet.hold(&name, &of, Some(Bound::Least(0.7)));
            bench.load(
                &format!("list of 100, {backing}"),
                &ground,
                &process,
                &lists,
                CONNECTIONS,
            )?;
            for (kind, word, hits) in [
                ("rare", texts::RARE, texts::RARE_HITS as u32),
                ("common", texts::COMMON, HITS),
            ] {
                let name = format!("search, {kind} word, {backing}");
                let asks = [chat.search(word)];
                let load = Load::new("search", &asks, Some(listed(hits)))?;
                bench.load(&name, &ground, &process, &load, CONNECTIONS)?;
                if let Some(search) = &search {
                    let of = format!("handler with a raw _search, {kind} word");
                    // The raw answer has its own form; its status and length are all there is to see.
                    bench.load_limit(
                        &of,
                        search,
                        &Load::new("raw-search", &asks, None)?,
                        CONNECTIONS,
                    )?;
                    bench.sheet.hold(&name, &of, Some(Bound::Least(0.8)));
                }
            }
        }
        drop((process, key, search));
        ground.wipe().await?;
    }
    Ok(())
}
