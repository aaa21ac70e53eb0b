//! Many messages at once, to the end: stored, counted and found.

use std::{collections::BTreeSet, time::Instant};

use serde_json::{Value, json};

use crate::support::{Site, on_each_backing, settles, together};

const CLIENTS: usize = 16;
const MESSAGES: u64 = 20_000;

/// Prints how long it took: `cargo test --release --test api twenty_thousand -- --nocapture`.
async fn twenty_thousand_messages_of_sixteen_clients_are_stored_counted_and_found(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    let start = Instant::now();
    let numbers = together(CLIENTS, |client| {
        let (api, chat) = (api.client(), chat.clone());
        async move {
            let mut numbers = Vec::new();
            for n in 0..MESSAGES / CLIENTS as u64 {
                let text = format!("Message {n} of client {client}: how are you today?");
                numbers.push(api.say(&chat, &text).await);
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

    settles("all are counted", json!(MESSAGES), async || {
        api.messages_count(&chat).await
    })
    .await;
    let stored = start.elapsed();
    let newest: Vec<u64> = (MESSAGES - 99..=MESSAGES).collect();
    settles("the newest are found", newest, async || {
        api.found(&chat, "how are you").await
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
        let finished = site.confab(&command).await;
        finished.expect_code(0);
        let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
        assert_eq!(report["findings"], json!([]));
    }
}

on_each_backing!(twenty_thousand_messages_of_sixteen_clients_are_stored_counted_and_found,);
