//! Searches that cost the store much: they are bounded, and do not stop others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinSet;
use url::form_urlencoded;

use crate::support::{Chat, Client, Fixture, apply, concurrently, eventually, on_each_backend};

/// Searches at once.
const SEARCHES: usize = 8;

/// The longest query that is allowed.
const WORDS: usize = 128;

/// Messages that nearly match: as long as possible, with every word one fewer than the phrase in a row.
const MESSAGES: usize = 640;

/// Clients that read meanwhile.
const READERS: usize = 4;

fn near_match() -> String {
    let run = format!("{}b ", "a ".repeat(WORDS - 1));
    run.repeat(16_000 / run.len())
}

/// A chat of messages that nearly match, stored and indexed.
async fn costly_chat(api: &Client) -> Chat {
    let chat = api.new_app_and_chat().await;
    let created = concurrently(16, |client| {
        let (api, chat, text) = (api.clone(), chat.clone(), near_match());
        async move {
            for _ in 0..MESSAGES / 16 {
                api.create_message(&chat, &text).await;
            }
            client
        }
    });
    created.await;
    api.create_message(&chat, "the last one").await;
    eventually("all messages are indexed", async || {
        let first = api.search(&chat, "b").await;
        let last = api.search(&chat, "last").await;
        let count = api.messages_count(&chat).await;
        let indexed = [&first, &last].map(|found| (found.status, found.body.len() > 2));
        if indexed == [(200, true); 2] && count == json!(MESSAGES + 1) {
            Ok(())
        } else {
            Err((indexed, count))
        }
    })
    .await;
    chat
}

/// The search for a phrase of as many words as are allowed.
fn costly_search(chat: &Chat) -> String {
    let phrase = format!("\"{}\"", "a ".repeat(WORDS));
    let query: String = form_urlencoded::byte_serialize(phrase.as_bytes()).collect();
    format!("{chat}/search?q={query}")
}

/// Reads messages until told to end; every one must be found. Returns the time of each read.
async fn read_until(api: Client, chat: Chat, done: Arc<AtomicBool>) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in (1..=10).cycle() {
        let began = Instant::now();
        let response = api.get(chat.message(number)).await;
        times.push(began.elapsed());
        response.expect_status(200);
        api.get(&chat).await.expect_status(200);
        if done.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times
}

#[apply(on_each_backend!)]
async fn costly_searches_do_not_stop_reads_writes_and_indexing(fixture: &Fixture) {
    let api = fixture.start().await;
    let costly = costly_chat(&api).await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..10 {
        api.create_message(&chat, "hello").await;
    }
    let done = Arc::<AtomicBool>::default();
    let readers: JoinSet<_> = (0..READERS)
        .map(|_| read_until(api.client(), chat.clone(), done.clone()))
        .collect();
    let searches: JoinSet<_> = (0..SEARCHES)
        .map(|_| {
            let (api, path) = (api.client(), costly_search(&costly));
            async move {
                let began = Instant::now();
                (api.get(path).await, began.elapsed())
            }
        })
        .collect();
    // Writes meanwhile, by an own client.
    let writer = {
        let (api, chat) = (api.client(), chat.clone());
        tokio::spawn(async move {
            for _ in 0..20 {
                api.create_message(&chat, "written meanwhile").await;
            }
        })
    };
    let searched = searches.join_all().await;
    writer.await.expect("all are accepted");
    done.store(true, Ordering::Relaxed);
    let mut times = readers.join_all().await.concat();
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    for (response, time) in &searched {
        println!("a search: {} after {time:?}", response.status);
    }
    println!(
        "{} reads meanwhile: median {:?}, 99th percentile {:?}, maximum {:?}",
        times.len(),
        percentile(50),
        percentile(99),
        percentile(100),
    );
    for (response, _) in &searched {
        match response.status {
            200 => response.expect(200, "[]"),
            _ => response.expect_error(503, "Try again shortly: a store is out of reach"),
        }
    }
    // Search and indexing go on.
    eventually("what was written meanwhile is found", async || {
        let found = api.search_numbers(&chat, "meanwhile").await;
        if found.len() == 20 {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}
