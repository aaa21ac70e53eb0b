//! Requests that still work while a store is unreachable, and how soon writes succeed after it returns.

use std::time::{Duration, Instant};

use serde_json::json;

use super::connection::{Store, behind_proxy};
use crate::{
    history::Tally,
    load::THINK_TIME,
    plan::rounds,
    support::{Chat, Client, eventually},
    trial::Trial,
};

const OUTAGE: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(3);

/// Runs rounds in which the store is unreachable under load. `check` makes further checks during the outage; `is_violation`
/// checks the counts of the load.
async fn while_unreachable(
    trial: &mut Trial<'_>,
    store: Store,
    mut check: impl AsyncFnMut(&Trial<'_>, &Chat),
    is_violation: fn(&Tally) -> bool,
) {
    let mut proxy = behind_proxy(trial, store).await;
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        // A chat that the load does not use.
        let chat = new_chat(&trial.api()).await;
        trial.api().create_message(&chat, "hello").await;
        eventually("it is stored", async || {
            let stored = trial.fixture.stored_messages(&chat).await;
            if stored.is_empty() {
                Err(stored)
            } else {
                Ok(())
            }
        })
        .await;
        let load = trial.load_with(THINK_TIME).await;
        let (before, time_before) = load.run_for(BEFORE).await;
        trial.inject(&load);
        proxy.cut().await;
        let (tally, time) = {
            let running = load.run_for(OUTAGE);
            let (ran, ()) = tokio::join!(running, check(trial, &chat));
            ran
        };
        if is_violation(&tally) {
            let finding = format!("with {store:?} gone: {tally:?}");
            trial.row().add(|row| &mut row.unexpected, finding);
        }
        trial.note(format!(
            "a second before / while it is gone: {}",
            rates(&before, time_before, &tally, time)
        ));
        proxy.open().await;
        let recovery = until_recovered(trial).await;
        trial.note(format!(
            "accepted, stored and found again {recovery:.1?} after its return"
        ));
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

fn rates(before: &Tally, time_before: Duration, during_fault: &Tally, time: Duration) -> String {
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let pair = |name, of: fn(&Tally) -> usize| {
        let (before, during_fault) = (rate(of(before), time_before), rate(of(during_fault), time));
        format!("{before:.0} / {during_fault:.0} {name}")
    };
    [
        pair("creations", |tally| tally.created),
        pair("updates", |tally| tally.updated),
        pair("reads", |tally| tally.read),
    ]
    .join(", ")
}

/// Creates a chat, as soon as an application and a chat are accepted.
async fn new_chat(api: &Client) -> Chat {
    let app = eventually("an application is accepted", async || {
        let response = api.post("/application", &json!({"username": "me"})).await;
        if response.status == 201 {
            Ok(response.text_field("Application"))
        } else {
            Err(response)
        }
    })
    .await;
    let number = eventually("a chat is accepted", async || {
        let response = api
            .post(format!("/application/{app}/chat"), &json!({}))
            .await;
        if response.status == 201 {
            Ok(response.number_field("Chat"))
        } else {
            Err(response)
        }
    })
    .await;
    Chat { app, number }
}

/// Measures the time until a write is accepted, stored and found.
async fn until_recovered(trial: &Trial<'_>) -> Duration {
    let (start, api) = (Instant::now(), trial.api());
    let chat = new_chat(&api).await;
    eventually("a message is accepted", async || {
        let body = json!({"message": "hello"});
        let response = api.post(format!("{chat}/message"), &body).await;
        if response.status == 201 {
            Ok(())
        } else {
            Err(response)
        }
    })
    .await;
    eventually("it is stored", async || {
        let stored = trial.fixture.stored_messages(&chat).await;
        if stored.is_empty() {
            Err(stored)
        } else {
            Ok(())
        }
    })
    .await;
    eventually("it is found", async || {
        let found = api.search_numbers(&chat, "hello").await;
        if found.is_empty() { Err(found) } else { Ok(()) }
    })
    .await;
    start.elapsed()
}

fn add_unexpected(trial: &Trial<'_>, finding: String) {
    trial.row().add(|row| &mut row.unexpected, finding);
}

/// Everything except search works.
pub async fn elasticsearch_unreachable(trial: &mut Trial<'_>) {
    let check = async |trial: &Trial<'_>, chat: &Chat| {
        for _ in 0..20 {
            let response = trial.api().search(chat, "hello").await;
            if response.status != 503 {
                add_unexpected(trial, format!("a search {response}"));
            }
        }
    };
    while_unreachable(trial, Store::Elasticsearch, check, |tally| {
        tally.not_created + tally.not_keyed + tally.not_updated + tally.not_read > 0
    })
    .await;
}

/// Chats known to Redis accept messages and updates, and pending messages can be read.
pub async fn mysql_unreachable(trial: &mut Trial<'_>) {
    let check = async |trial: &Trial<'_>, chat: &Chat| {
        for turn in 0..20 {
            let text = format!("while MySQL is gone, turn {turn}");
            let mut clients = trial.processes.iter();
            let number = trial.api().create_message(chat, &text).await;
            let seen = loop {
                let Some(process) = clients.next() else {
                    break None;
                };
                let response = process.get(chat.message(number)).await;
                if response.status != 200 || response.text_field("Message") != text {
                    break Some(response);
                }
            };
            if let Some(response) = seen {
                add_unexpected(trial, format!("{text}: {response}"));
            }
        }
    };
    while_unreachable(trial, Store::Mysql, check, |tally| {
        // Updates, deletions and keyed creations need what is stored.
        tally.not_created > 0
    })
    .await;
}

/// Stored data is returned as stale; missing data returns 503, never 404.
pub async fn redis_unreachable(trial: &mut Trial<'_>) {
    let check = async |trial: &Trial<'_>, chat: &Chat| {
        let stored = trial.fixture.stored_messages(chat).await;
        for (number, text) in stored.iter().rev().take(20) {
            let response = trial.api().get(chat.message(*number)).await;
            let stale = response.header("confab-state") == Some("stale");
            if response.status != 200 || !stale || response.text_field("Message") != *text {
                add_unexpected(
                    trial,
                    format!("{number} of {chat}, stored as {text:.60?}, {response}"),
                );
            }
        }
        let nowhere = chat.message(1_000_000);
        for path in [nowhere, "/application/00000000/chats".into()] {
            let response = trial.api().get(&path).await;
            if response.status != 503 {
                add_unexpected(trial, format!("{path} {response}"));
            }
        }
    };
    while_unreachable(trial, Store::Redis, check, |_| false).await;
}
