//! Updating messages.

use serde_json::json;

use crate::support::{
    Fixture, Server, apply, concurrently, eventually, eventually_eq, on_each_backend,
    on_each_server,
};

#[apply(on_each_server!)]
async fn update_returns_success_and_sets_its_time(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "Hello, World!").await;
    let path = chat.message(1);
    let created = api.get(&path).await.time_field("CreatedAt");

    api.put(&path, &json!({"message": "Guess what?"}))
        .await
        .expect(200, r#"{"status":"success"}"#);
    let response = api.get(&path).await;
    let (app, updated) = (&chat.app, response.time_field("UpdatedAt"));
    response.expect(
        200,
        &format!(
            r#"{{"Application":"{app}","Chat":1,"MessageID":"1","Message":"Guess what?","CreatedAt":"{created}","UpdatedAt":"{updated}"}}"#
        ),
    );
    assert!(updated >= created, "{updated} before {created}");
}

#[apply(on_each_backend!)]
async fn times_are_the_same_before_and_after_storing(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "never changed").await;
    api.create_message(&chat, "as created").await;
    let created = api.get(chat.message(2)).await.time_field("CreatedAt");
    api.update_message(&chat, 2, "as changed").await;
    let pending = [
        api.get(chat.message(1)).await.body,
        api.get(chat.message(2)).await.body,
        api.get(format!("{chat}/messages")).await.body,
    ];
    assert!(!pending[0].contains("UpdatedAt"), "{pending:#?}");
    assert!(pending[1].contains(&created), "{pending:#?}");
    drop(api);

    let api = fixture.start().await;
    eventually_eq("both messages are counted", json!(2), async || {
        api.messages_count(&chat).await
    })
    .await;
    eventually_eq(
        "the change is stored",
        "as changed".to_owned(),
        async || fixture.stored_messages(&chat).await.remove(1).1,
    )
    .await;
    let stored = [
        api.get(chat.message(1)).await.body,
        api.get(chat.message(2)).await.body,
        api.get(format!("{chat}/messages")).await.body,
    ];
    assert_eq!(stored, pending);

    // An update of a stored message keeps the creation time and changes the update time.
    let first = api.get(chat.message(2)).await.time_field("UpdatedAt");
    api.update_message(&chat, 2, "changed once more").await;
    let response = api.get(chat.message(2)).await;
    assert_eq!(response.time_field("CreatedAt"), created);
    assert!(response.time_field("UpdatedAt") >= first, "{response:#?}");
}

/// The clock may be set back between two writes.
#[apply(on_each_backend!)]
async fn update_never_changes_the_creation_time(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "as created").await;
    eventually_eq("it is stored", 1, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    // The message was created when the clock was ahead.
    fixture.move_times("messages", 3_600_000).await;
    let created = api.get(chat.message(1)).await.time_field("CreatedAt");
    for text in ["changed", "changed again"] {
        api.update_message(&chat, 1, text).await;
        let response = api.get(chat.message(1)).await;
        assert_eq!(response.time_field("CreatedAt"), created, "queued");
        eventually_eq("it is stored", text.to_owned(), async || {
            fixture.stored_messages(&chat).await.remove(0).1
        })
        .await;
        let response = api.get(chat.message(1)).await;
        assert_eq!(response.time_field("CreatedAt"), created, "stored");
        let listed = api.get(format!("{chat}/messages")).await.json();
        assert_eq!(listed[0]["createdAt"], created);
        eventually_eq("it is found", json!(created), async || {
            api.search(&chat, text).await.json()[0]["createdAt"].clone()
        })
        .await;
    }
}

#[apply(on_each_server!)]
async fn new_messages_can_be_updated_immediately_from_every_process(server: &Server) {
    let clients = server.clients();
    let chat = clients[0].new_app_and_chat().await;
    for round in 0..30 {
        let creator = &clients[round % clients.len()];
        let updater = &clients[(round + 1) % clients.len()];
        let number = creator.create_message(&chat, "as created").await;
        let text = format!("round {round}");
        updater.update_message(&chat, number, &text).await;
        assert_eq!(creator.text(&chat, number).await, text);
    }
    eventually_eq("every update is stored", true, async || {
        let stored = server.stores().stored_messages(&chat).await;
        stored.len() == 30
            && (0..)
                .zip(&stored)
                .all(|(round, (_, text))| *text == format!("round {round}"))
    })
    .await;
}

#[apply(on_each_server!)]
async fn update_keeps_numbers_order_and_counts(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    for text in ["one", "two", "three"] {
        api.create_message(&chat, text).await;
    }
    eventually_eq("all are counted", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    for _ in 0..5 {
        api.update_message(&chat, 1, "uno").await;
    }
    eventually_eq("the update is stored", "uno".to_owned(), async || {
        server.stores().stored_messages(&chat).await.remove(0).1
    })
    .await;
    let list = api.get(format!("{chat}/messages")).await;
    assert_eq!(list.numbers("messageID"), [1, 2, 3]);
    assert_eq!(list.json()[0]["message"], "uno");
    assert_eq!(api.messages_count(&chat).await, 3);
    assert_eq!(api.create_message(&chat, "four").await, 4);
    eventually_eq("the next is counted", json!(4), async || {
        api.messages_count(&chat).await
    })
    .await;
}

#[apply(on_each_server!)]
async fn last_of_five_quick_updates_wins_everywhere(server: &Server) {
    const MESSAGES: u64 = 50;
    const ROUNDS: [&str; 5] = ["first", "second", "third", "fourth", "last"];
    let clients = server.clients();
    let api = &clients[0];
    let chat = api.new_app_and_chat().await;
    for _ in 0..MESSAGES {
        api.create_message(&chat, "created").await;
    }

    const CLIENTS: usize = 5;
    concurrently(CLIENTS, |client| {
        let clients = clients.clone();
        let chat = chat.clone();
        async move {
            for number in (1..=MESSAGES).skip(client).step_by(CLIENTS) {
                for (round, word) in ROUNDS.into_iter().enumerate() {
                    let api = &clients[round % clients.len()];
                    api.update_message(&chat, number, &format!("{word} text of {number}"))
                        .await;
                }
            }
        }
    })
    .await;

    let last = |number| format!("last text of {number}");
    for process in &clients {
        for number in 1..=MESSAGES {
            assert_eq!(process.text(&chat, number).await, last(number));
        }
    }
    let expected: Vec<_> = (1..=MESSAGES)
        .map(|number| (number, last(number)))
        .collect();
    eventually_eq("the stored texts", expected, async || {
        server.stores().stored_messages(&chat).await
    })
    .await;
    let all: Vec<_> = (1..=MESSAGES).collect();
    eventually("search finds the last texts and no other", async || {
        let mut found = vec![api.search_numbers(&chat, "last").await];
        for word in ["created", "first", "second", "third", "fourth"] {
            found.push(api.search_numbers(&chat, word).await);
        }
        let right = found[0] == all && found[1..].iter().all(Vec::is_empty);
        if right { Ok(()) } else { Err(found) }
    })
    .await;
    for number in 1..=MESSAGES {
        assert_eq!(api.text(&chat, number).await, last(number));
    }
}
