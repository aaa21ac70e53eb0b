//! What goes on while a store is gone, and how soon all is well once it is back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::reach::{PACE, Store, behind_proxy};
use crate::{
    ground::Ground,
    ledger::Tally,
    plan::rounds,
    support::{Chat, eventually},
};

const AWAY: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(3);

/// Plays rounds in which the store is gone under load; `look` is what else is looked at meanwhile, and may object to what
/// came of the load.
async fn while_gone(
    ground: &mut Ground<'_>,
    store: Store,
    mut look: impl AsyncFnMut(&Ground<'_>, &Chat),
    objects: fn(&Tally) -> bool,
) {
    let mut proxy = behind_proxy(ground, store).await;
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load_with(PACE / 4).await;
        // Not one of the load's: what is looked at is written by whoever looks.
        let chat = ground.api().new_app_and_chat().await;
        ground.api().say(&chat, "hello").await;
        eventually("it is stored", async || {
            let stored = ground.site.stored_messages(&chat).await;
            if stored.is_empty() {
                Err(stored)
            } else {
                Ok(())
            }
        })
        .await;
        let (before, time_before) = load.runs(BEFORE).await;
        ground.strike(&load);
        proxy.cut().await;
        let (tally, time) = {
            let running = load.runs(AWAY);
            let (ran, ()) = tokio::join!(running, look(ground, &chat));
            ran
        };
        if objects(&tally) {
            let finding = format!("with {store:?} gone: {tally:?}");
            ground.row().add(|row| &mut row.strange, finding);
        }
        ground.note(format!(
            "a second before / while it is gone: {}",
            rates(&before, time_before, &tally, time)
        ));
        proxy.open().await;
        let good = until_good(ground).await;
        ground.note(format!(
            "accepted, stored and found again {good:.1?} after its return"
        ));
        ground.heal(&load);
        ground.settle(load).await;
    }
}

fn rates(before: &Tally, time_before: Duration, meanwhile: &Tally, time: Duration) -> String {
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let pair = |name, of: fn(&Tally) -> usize| {
        let (before, meanwhile) = (rate(of(before), time_before), rate(of(meanwhile), time));
        format!("{before:.0} / {meanwhile:.0} {name}")
    };
    [
        pair("creations", |tally| tally.created),
        pair("updates", |tally| tally.updated),
        pair("reads", |tally| tally.read),
    ]
    .join(", ")
}

/// How long it takes until a write is accepted, stored and found.
async fn until_good(ground: &Ground<'_>) -> Duration {
    let (start, api) = (Instant::now(), ground.api());
    let app = eventually("an application is accepted", async || {
        let answer = api.post("/application", &json!({"username": "me"})).await;
        if answer.status == 201 {
            Ok(answer.text_field("Application"))
        } else {
            Err(answer)
        }
    })
    .await;
    let chat = eventually("a chat is accepted", async || {
        let answer = api
            .post(format!("/application/{app}/chat"), &json!({}))
            .await;
        if answer.status == 201 {
            Ok(answer.number_field("Chat"))
        } else {
            Err(answer)
        }
    })
    .await;
    let chat = Chat { app, number: chat };
    eventually("a message is accepted", async || {
        let body = json!({"message": "hello"});
        let answer = api.post(format!("{chat}/message"), &body).await;
        if answer.status == 201 {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    eventually("it is stored", async || {
        let stored = ground.site.stored_messages(&chat).await;
        if stored.is_empty() {
            Err(stored)
        } else {
            Ok(())
        }
    })
    .await;
    eventually("it is found", async || {
        let found = api.found(&chat, "hello").await;
        if found.is_empty() { Err(found) } else { Ok(()) }
    })
    .await;
    start.elapsed()
}

fn object(ground: &Ground<'_>, finding: String) {
    ground.row().add(|row| &mut row.strange, finding);
}

/// All but search goes on as if nothing were.
pub async fn elasticsearch_gone(ground: &mut Ground<'_>) {
    let look = async |ground: &Ground<'_>, chat: &Chat| {
        for _ in 0..20 {
            let answer = ground.api().search(chat, "hello").await;
            if answer.status != 503 {
                object(ground, format!("a search {answer}"));
            }
        }
    };
    while_gone(ground, Store::Elasticsearch, look, |tally| {
        tally.not_created + tally.not_updated + tally.not_read > 0
    })
    .await;
}

/// Chats that Redis knows take messages and updates, and what is not stored yet can be read.
pub async fn mysql_gone(ground: &mut Ground<'_>) {
    let look = async |ground: &Ground<'_>, chat: &Chat| {
        for turn in 0..20 {
            let text = format!("while MySQL is gone, turn {turn}");
            let mut clients = ground.fleet.iter();
            let number = ground.api().say(chat, &text).await;
            let seen = loop {
                let Some(process) = clients.next() else {
                    break None;
                };
                let answer = process.get(chat.message(number)).await;
                if answer.status != 200 || answer.text_field("Message") != text {
                    break Some(answer);
                }
            };
            if let Some(answer) = seen {
                object(ground, format!("{text}: {answer}"));
            }
        }
    };
    while_gone(ground, Store::Mysql, look, |tally| {
        tally.not_created + tally.not_updated > 0
    })
    .await;
}

/// What is stored is served as stale, and what is not found is a 503, never a 404.
pub async fn redis_gone(ground: &mut Ground<'_>) {
    let look = async |ground: &Ground<'_>, chat: &Chat| {
        let stored = ground.site.stored_messages(chat).await;
        for (number, text) in stored.iter().rev().take(20) {
            let answer = ground.api().get(chat.message(*number)).await;
            let stale = answer.header("confab-state") == Some("stale");
            if answer.status != 200 || !stale || answer.text_field("Message") != *text {
                object(
                    ground,
                    format!("{number} of {chat}, stored as {text:.60?}, {answer}"),
                );
            }
        }
        let nowhere = chat.message(1_000_000);
        for path in [nowhere, "/application/00000000/chats".into()] {
            let answer = ground.api().get(&path).await;
            if answer.status != 503 {
                object(ground, format!("{path} {answer}"));
            }
        }
    };
    while_gone(ground, Store::Redis, look, |_| false).await;
}
