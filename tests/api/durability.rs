//! What was answered with success survives the death of the process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;

use crate::support::{Answer, Chat, Client, Site, eventually, on_each_backing, settles};

/// What a client was told about its messages: number → the last text that was answered with success, and the one that
/// was sent last.
type Told = BTreeMap<u64, (String, String)>;

/// Creates and updates until the process dies.
async fn write_until_the_end(
    api: Client,
    chat: Chat,
    client: usize,
    answers: Arc<AtomicUsize>,
) -> Told {
    let success = |answer: reqwest::Result<Answer>, status| {
        answer.ok().inspect(|answer| answer.expect_status(status))
    };
    let mut told = Told::new();
    for turn in 0.. {
        let text = format!("client {client} turn {turn}");
        let created = api
            .try_post(format!("{chat}/message"), &json!({"message": text}))
            .await;
        let Some(created) = success(created, 201) else {
            break;
        };
        let number = created.number_field("MessageID");
        told.insert(number, (text.clone(), text));
        answers.fetch_add(1, Ordering::Relaxed);
        if turn % 3 == 0 {
            let text = format!("client {client} turn {turn} changed");
            let entry = told.get_mut(&number).expect("just inserted");
            entry.1.clone_from(&text);
            let changed = api
                .try_put(chat.message(number), &json!({"message": text}))
                .await;
            if success(changed, 200).is_none() {
                break;
            }
            entry.0 = text;
        }
    }
    told
}

async fn kill_9_under_load_loses_nothing_that_was_answered(site: &Site) {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 3;
    // What the dead held is taken over soon.
    let settings = [("CONFAB_WORKERS__LEASE_MS", "2000")];
    let mut processes = site.start_all_with(&settings).await;
    let chat = processes[0].new_app_and_chat().await;
    let mut told = Told::new();
    for round in 0..ROUNDS {
        let victim = processes.remove(0);
        let answers = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let writing =
                    write_until_the_end(victim.client(), chat.clone(), client, answers.clone());
                tokio::spawn(writing)
            })
            .collect();
        // Long enough for batches to be in hand, and never the same.
        let load = 100 + 37 * round;
        eventually("there is load", async || {
            let answered = answers.load(Ordering::Relaxed);
            if answered >= load {
                Ok(())
            } else {
                Err(answered)
            }
        })
        .await;
        victim.kill();
        for writer in writers {
            let more = writer.await.expect("answers before the kill are right");
            for number in more.keys() {
                assert!(!told.contains_key(number), "{number} was given twice");
            }
            told.extend(more);
        }
        processes.push(site.start_with(&settings).await);
    }

    // At once, though jobs of the dead may still wait for their leases to end.
    let api = &processes[0];
    let pages = api
        .follow(format!("{chat}/messages?limit=1000"), "next")
        .await;
    let numbers: Vec<_> = pages
        .iter()
        .flat_map(|page| page.numbers("messageID"))
        .collect();
    let all: Vec<_> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, all, "a number is missing");
    for page in &pages {
        for item in page.json().as_array().expect("a list") {
            let number = item["messageID"].as_u64().expect("a number");
            if let Some((answered, sent)) = told.get(&number) {
                let text = item["message"].as_str().expect("a text");
                // An update that was not answered may have been accepted.
                assert!(text == answered || text == sent, "{number}: {text:?}");
            }
        }
    }
    let last = told.keys().next_back().expect("something was answered");
    assert!(all.contains(last), "{last} was answered");
    let next = api.say(&chat, "life goes on").await;
    assert_eq!(next, all.len() as u64 + 1);

    // In the end all of it is stored, once, counted and found.
    settles("the count", json!(next), async || {
        api.messages_count(&chat).await
    })
    .await;
    let texts: Vec<_> = pages
        .iter()
        .flat_map(|page| page.json().as_array().expect("a list").clone())
        .map(|item| item["message"].as_str().expect("a text").to_owned())
        .chain(["life goes on".to_owned()])
        .collect();
    settles("the stored texts", true, async || {
        let stored = site.stored_messages(&chat).await;
        stored.iter().map(|(_, text)| text).eq(&texts)
    })
    .await;
    let with_client: Vec<_> = numbers.iter().rev().take(100).rev().copied().collect();
    eventually("search finds the newest", async || {
        let found = api.found(&chat, "client").await;
        if found == with_client {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}

on_each_backing!(kill_9_under_load_loses_nothing_that_was_answered);
