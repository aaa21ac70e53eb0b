//! A large number of messages, until all are stored, counted and searchable.

use std::{collections::BTreeSet, time::Instant};

use serde_json::{Value, json};

use crate::support::{Fixture, apply, concurrently, eventually_eq, on_each_backend};

const CLIENTS: usize = 16;
const MESSAGES: u64 = 20_000;

/// Prints the time it took: `cargo test --release --test api load:: -- --nocapture`.
#[apply(on_each_backend!)]
async fn load_of_20000_messages_is_stored_counted_and_searchable(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    let start = Instant::now();
    let numbers = concurrently(CLIENTS, |client| {
        let (api, chat) = (api.client(), chat.clone());
        async move {
            let mut numbers = Vec::new();
            for n in 0..MESSAGES / CLIENTS as u64 {
                let text = format!("Message {n} of client {client}: how are you today?");
                numbers.push(api.create_message(&chat, &text).await);
            }
            numbers
        }
    })
    .await;
    let accepted = start.elapsed();
    let numbers: BTreeSet<u64> = numbers.into_iter().flatten().collect();
    assert!(
        numbers.into_iter().eq(1..=MESSAGES),
        "numbers are gapless and unique"
    );

    eventually_eq("all are counted", json!(MESSAGES), async || {
        api.messages_count(&chat).await
    })
    .await;
    let stored = start.elapsed();
    let newest: Vec<u64> = (MESSAGES - 99..=MESSAGES).collect();
    eventually_eq("the newest are found", newest, async || {
        api.search_numbers(&chat, "how are you").await
    })
    .await;
    let pages = api
        .follow(format!("{chat}/search?q=today&limit=100"), "prev")
        .await;
    let mut all: Vec<u64> = pages
        .iter()
        .flat_map(|page| page.numbers("messageID"))
        .collect();
    let found = start.elapsed();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=MESSAGES), "every message is found");
    println!(
        "{MESSAGES} messages by {CLIENTS} clients: accepted after {accepted:.2?}, stored and counted after \
         {stored:.2?}, all found, page by page, after {found:.2?}"
    );

    for command in [
        ["search", "verify", "--json"],
        ["counts", "verify", "--json"],
    ] {
        let finished = fixture.confab(&command).await;
        finished.expect_code(0);
        let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
        assert_eq!(report["findings"], json!([]));
    }
}
