//! Acknowledged writes survive a crash of the process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;

use crate::support::{
    Chat, Client, Fixture, Response, apply, eventually, eventually_eq, on_each_backend,
};

/// The messages of a client by number: the last acknowledged text, and the last text sent.
type Acknowledged = BTreeMap<u64, (String, String)>;

/// Creates and updates messages until the process is killed.
async fn write_until_the_end(
    api: Client,
    chat: Chat,
    client: usize,
    responses: Arc<AtomicUsize>,
) -> Acknowledged {
    let success = |response: reqwest::Result<Response>, status| {
        response
            .ok()
            .inspect(|response| response.expect_status(status))
    };
    let mut acknowledged = Acknowledged::new();
    for turn in 0.. {
        let text = format!("client {client} turn {turn}");
        let created = api
            .try_post(format!("{chat}/message"), &json!({"message": text}))
            .await;
        let Some(created) = success(created, 201) else {
            break;
        };
        let number = created.number_field("MessageID");
        acknowledged.insert(number, (text.clone(), text));
        responses.fetch_add(1, Ordering::Relaxed);
        if turn % 3 == 0 {
            let text = format!("client {client} turn {turn} changed");
            let entry = acknowledged.get_mut(&number).expect("just inserted");
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
    acknowledged
}

#[apply(on_each_backend!)]
async fn sigkill_under_load_loses_no_acknowledged_write(fixture: &Fixture) {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 3;
    // Jobs of the killed process are recovered soon.
    let settings = [("CONFAB_WORKERS__LEASE_MS", "2000")];
    let mut processes = fixture.start_all_with(&settings).await;
    let chat = processes[0].new_app_and_chat().await;
    let mut acknowledged = Acknowledged::new();
    for round in 0..ROUNDS {
        let victim = processes.remove(0);
        let responses = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let writing =
                    write_until_the_end(victim.client(), chat.clone(), client, responses.clone());
                tokio::spawn(writing)
            })
            .collect();
        // A random time, long enough for batches to be in flight.
        let load = 100 + 37 * round;
        eventually("there is load", async || {
            let answered = responses.load(Ordering::Relaxed);
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
                assert!(
                    !acknowledged.contains_key(number),
                    "{number} was given twice"
                );
            }
            acknowledged.extend(more);
        }
        processes.push(fixture.start_with(&settings).await);
    }

    // Immediately, although jobs of the killed process may still be leased.
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
            if let Some((answered, sent)) = acknowledged.get(&number) {
                let text = item["message"].as_str().expect("a text");
                // An unacknowledged update may have been accepted.
                assert!(text == answered || text == sent, "{number}: {text:?}");
            }
        }
    }
    let last = acknowledged
        .keys()
        .next_back()
        .expect("something was answered");
    assert!(all.contains(last), "{last} was answered");
    let next = api.create_message(&chat, "life goes on").await;
    assert_eq!(next, all.len() as u64 + 1);

    // Finally everything is stored once, counted and searchable.
    eventually_eq("the count", json!(next), async || {
        api.messages_count(&chat).await
    })
    .await;
    let texts: Vec<_> = pages
        .iter()
        .flat_map(|page| page.json().as_array().expect("a list").clone())
        .map(|item| item["message"].as_str().expect("a text").to_owned())
        .chain(["life goes on".to_owned()])
        .collect();
    eventually_eq("the stored texts", true, async || {
        let stored = fixture.stored_messages(&chat).await;
        stored.iter().map(|(_, text)| text).eq(&texts)
    })
    .await;
    let with_client: Vec<_> = numbers.iter().rev().take(100).rev().copied().collect();
    eventually("search finds the newest", async || {
        let found = api.search_numbers(&chat, "client").await;
        if found == with_client {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}
