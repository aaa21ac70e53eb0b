//! Reading and searching 100,000 messages of one chat.

use anyhow::Result;

use super::{Bench, CONNECTIONS, drain};
use crate::{
    confab,
    fixture::{BACKENDS, BackendKind},
    limits,
    report::Bound,
    requests::{SHOWN, listed},
    texts,
    wrk::Load,
};

const MESSAGES: u64 = 100_000;

/// The default number of hits.
pub const HITS: u32 = 20;

pub async fn run(bench: &mut Bench) -> Result<()> {
    let messages = bench.messages(MESSAGES);
    for backend in BACKENDS {
        let fixture = bench.fixture(backend);
        let process = fixture.serve_empty(&[]).await?;
        let app = confab::create_application(process.port).await?;
        let chat = confab::create_chat(process.port, &app).await?;
        drain::once(&fixture, &process, &chat, messages).await?;
        let key = match backend {
            BackendKind::Services => limits::launch("key", Some(&bench.stores.database())).await?,
            BackendKind::Embedded => {
                limits::launch("file", Some(&fixture.file().display().to_string())).await?
            }
        };
        let search = match backend {
            BackendKind::Services => {
                Some(limits::launch("search", Some(bench.stores.elasticsearch_url())).await?)
            }
            BackendKind::Embedded => None,
        };
        let shows = Load::new("shows", &chat.shows(messages), Some(SHOWN))?;
        let lists = Load::new("lists", &chat.lists(messages), Some(listed(100)))?;
        for round in 0..bench.rounds {
            eprintln!("reads, {backend}, round {}", round + 1);
            let name = format!("GET message, {backend}");
            let of = format!("handler with a bare key read, {backend}");
            bench.load(&name, &fixture, &process, &shows, CONNECTIONS)?;
            bench.load_limit(&of, &key, &shows, CONNECTIONS)?;
            bench.report.compare(&name, &of, Some(Bound::Least(0.7)));
            bench.load(
                &format!("list of 100, {backend}"),
                &fixture,
                &process,
                &lists,
                CONNECTIONS,
            )?;
            for (kind, word, hits) in [
                ("rare", texts::RARE, texts::RARE_HITS as u32),
                ("common", texts::COMMON, HITS),
            ] {
                let name = format!("search, {kind} word, {backend}");
                let specs = [chat.search(word)];
                let load = Load::new("search", &specs, Some(listed(hits)))?;
                bench.load(&name, &fixture, &process, &load, CONNECTIONS)?;
                if let Some(search) = &search {
                    let of = format!("handler with a raw _search, {kind} word");
                    // Raw responses have another format, so only status and length are checked.
                    bench.load_limit(
                        &of,
                        search,
                        &Load::new("raw-search", &specs, None)?,
                        CONNECTIONS,
                    )?;
                    bench.report.compare(&name, &of, Some(Bound::Least(0.8)));
                }
            }
        }
        drop((process, key, search));
        fixture.wipe().await?;
    }
    Ok(())
}
