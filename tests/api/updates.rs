//! A message gets a new text.

use serde_json::json;

use crate::support::{Site, eventually, on_each_backing, settles, together};

async fn an_update_is_answered_with_success_and_read_back_with_its_time(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "Hello, World!").await;
    let path = chat.message(1);
    let created = api.get(&path).await.time_field("CreatedAt");

    api.put(&path, &json!({"message": "Guess what?"}))
        .await
        .expect(200, r#"{"status":"success"}"#);
    let answer = api.get(&path).await;
    let (app, updated) = (&chat.app, answer.time_field("UpdatedAt"));
    answer.expect(
        200,
        &format!(
            r#"{{"Application":"{app}","Chat":1,"MessageID":"1","Message":"Guess what?","CreatedAt":"{created}","UpdatedAt":"{updated}"}}"#
        ),
    );
    assert!(updated >= created, "{updated} before {created}");
}

async fn times_are_the_same_before_and_after_storing(site: &Site) {
    let api = site
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "never changed").await;
    api.say(&chat, "as created").await;
    let created = api.get(chat.message(2)).await.time_field("CreatedAt");
    api.change(&chat, 2, "as changed").await;
    let pending = [
        api.get(chat.message(1)).await.body,
        api.get(chat.message(2)).await.body,
        api.get(format!("{chat}/messages")).await.body,
    ];
    assert!(!pending[0].contains("UpdatedAt"), "{pending:#?}");
    assert!(pending[1].contains(&created), "{pending:#?}");
    drop(api);

    let api = site.start().await;
    settles("both messages are counted", json!(2), async || {
        api.messages_count(&chat).await
    })
    .await;
    settles(
        "the change is stored",
        "as changed".to_owned(),
        async || site.stored_messages(&chat).await.remove(1).1,
    )
    .await;
    let stored = [
        api.get(chat.message(1)).await.body,
        api.get(chat.message(2)).await.body,
        api.get(format!("{chat}/messages")).await.body,
    ];
    assert_eq!(stored, pending);

    // A change of what is stored keeps the time of creation, too, and moves the time of the update on.
    let first = api.get(chat.message(2)).await.time_field("UpdatedAt");
    api.change(&chat, 2, "changed once more").await;
    let answer = api.get(chat.message(2)).await;
    assert_eq!(answer.time_field("CreatedAt"), created);
    assert!(answer.time_field("UpdatedAt") >= first, "{answer:#?}");
}

async fn what_was_just_created_can_be_updated_at_once_from_every_process(site: &Site) {
    let processes = site.start_all().await;
    let chat = processes[0].new_app_and_chat().await;
    for round in 0..30 {
        let creator = &processes[round % processes.len()];
        let updater = &processes[(round + 1) % processes.len()];
        let number = creator.say(&chat, "as created").await;
        let text = format!("round {round}");
        updater.change(&chat, number, &text).await;
        assert_eq!(creator.text(&chat, number).await, text);
    }
    settles("every update is stored", true, async || {
        let stored = site.stored_messages(&chat).await;
        stored.len() == 30
            && (0..)
                .zip(&stored)
                .all(|(round, (_, text))| *text == format!("round {round}"))
    })
    .await;
}

async fn an_update_changes_neither_numbers_nor_order_nor_counts(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for text in ["one", "two", "three"] {
        api.say(&chat, text).await;
    }
    settles("all are counted", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    for _ in 0..5 {
        api.change(&chat, 1, "uno").await;
    }
    settles("the update is stored", "uno".to_owned(), async || {
        site.stored_messages(&chat).await.remove(0).1
    })
    .await;
    let list = api.get(format!("{chat}/messages")).await;
    assert_eq!(list.numbers("messageID"), [1, 2, 3]);
    assert_eq!(list.json()[0]["message"], "uno");
    assert_eq!(api.messages_count(&chat).await, 3);
    assert_eq!(api.say(&chat, "four").await, 4);
    settles("the next is counted", json!(4), async || {
        api.messages_count(&chat).await
    })
    .await;
}

async fn the_last_of_five_quick_updates_wins_everywhere(site: &Site) {
    const MESSAGES: u64 = 50;
    const ROUNDS: [&str; 5] = ["first", "second", "third", "fourth", "last"];
    let processes = site.start_all().await;
    let api = &processes[0];
    let chat = api.new_app_and_chat().await;
    for _ in 0..MESSAGES {
        api.say(&chat, "created").await;
    }

    const CLIENTS: usize = 5;
    together(CLIENTS, |client| {
        let processes: Vec<_> = processes.iter().map(|process| process.client()).collect();
        let chat = chat.clone();
        async move {
            for number in (1..=MESSAGES).skip(client).step_by(CLIENTS) {
                for (round, word) in ROUNDS.into_iter().enumerate() {
                    let api = &processes[round % processes.len()];
                    api.change(&chat, number, &format!("{word} text of {number}"))
                        .await;
                }
            }
        }
    })
    .await;

    let last = |number| format!("last text of {number}");
    for process in &processes {
        for number in 1..=MESSAGES {
            assert_eq!(process.text(&chat, number).await, last(number));
        }
    }
    let expected: Vec<_> = (1..=MESSAGES)
        .map(|number| (number, last(number)))
        .collect();
    settles("the stored texts", expected, async || {
        site.stored_messages(&chat).await
    })
    .await;
    let all: Vec<_> = (1..=MESSAGES).collect();
    eventually("search finds the last texts and no other", async || {
        let mut found = vec![api.found(&chat, "last").await];
        for word in ["created", "first", "second", "third", "fourth"] {
            found.push(api.found(&chat, word).await);
        }
        let right = found[0] == all && found[1..].iter().all(Vec::is_empty);
        if right { Ok(()) } else { Err(found) }
    })
    .await;
    for number in 1..=MESSAGES {
        assert_eq!(api.text(&chat, number).await, last(number));
    }
}

on_each_backing!(
    an_update_is_answered_with_success_and_read_back_with_its_time,
    times_are_the_same_before_and_after_storing,
    what_was_just_created_can_be_updated_at_once_from_every_process,
    an_update_changes_neither_numbers_nor_order_nor_counts,
    the_last_of_five_quick_updates_wins_everywhere,
);
