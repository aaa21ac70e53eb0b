//! `ChatsCount` counts accepted chats, `MessagesCount` stored messages.

use serde_json::{Value, json};

use crate::support::{
    Chat, Fixture, Server, apply, concurrently, eventually_eq, on_each_backend, on_each_server,
};

#[apply(on_each_server!)]
async fn chats_count_is_exact_immediately_after_a_burst(server: &Server) {
    let clients = server.clients();
    let app = clients[0].new_app().await;
    concurrently(20, |client| {
        let api = clients[client % clients.len()].clone();
        let app = app.clone();
        async move { api.new_chat(&app).await }
    })
    .await;
    for process in &clients {
        assert_eq!(process.get(&app).await.text_field("ChatsCount"), "20");
    }
    // After storing, the rows are neither counted twice nor missed.
    let stored = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        app.id
    );
    eventually_eq("the stored count", Some(20), async || {
        server.stores().stored_number(&stored).await
    })
    .await;
    for process in &clients {
        assert_eq!(process.get(&app).await.text_field("ChatsCount"), "20");
    }
}

#[apply(on_each_backend!)]
async fn messages_count_is_null_until_the_first_message_is_counted(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let chat = api.new_app_and_chat().await;
    assert_eq!(api.messages_count(&chat).await, Value::Null);
    api.create_message(&chat, "not counted yet").await;
    assert_eq!(api.messages_count(&chat).await, Value::Null);
    drop(api);
    let api = fixture.start().await;
    eventually_eq("the message is counted", json!(1), async || {
        let count = api.messages_count(&chat).await;
        assert!(count == Value::Null || count == 1, "{count}");
        count
    })
    .await;
}

#[apply(on_each_server!)]
async fn messages_count_is_exact_after_a_burst_into_one_chat(server: &Server) {
    let clients = server.clients();
    let chat = clients[0].new_app_and_chat().await;
    concurrently(20, |client| {
        let api = clients[client % clients.len()].clone();
        let chat = chat.clone();
        async move {
            for _ in 0..5 {
                api.create_message(&chat, "one of a hundred").await;
            }
        }
    })
    .await;
    let mut highest = 0;
    eventually_eq("the count", json!(100), async || {
        let count = clients[0].messages_count(&chat).await;
        let number = count.as_u64().unwrap_or(0);
        assert!(
            (highest..=100).contains(&number),
            "{number} after {highest}"
        );
        highest = number;
        count
    })
    .await;
    for process in &clients {
        assert_eq!(process.messages_count(&chat).await, 100);
    }
}

#[apply(on_each_server!)]
async fn messages_count_is_exact_after_a_burst_into_20_chats(server: &Server) {
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let chats: Vec<Chat> = concurrently(20, |client| {
        let api = clients[client % clients.len()].clone();
        let app = app.clone();
        async move {
            let chat = api.new_chat(&app).await;
            for _ in 0..chat.number % 7 {
                api.create_message(&chat, "hello").await;
            }
            chat
        }
    })
    .await;
    assert_eq!(chats.len(), 20);
    let expected: Vec<_> = (1..=20_u64)
        .map(|number| match number % 7 {
            0 => Value::Null,
            count => json!(count),
        })
        .collect();
    eventually_eq("the counts in the list", expected, async || {
        let list = clients[0].get(format!("{app}/chats")).await.json();
        let chats = list.as_array().expect("a list");
        chats
            .iter()
            .map(|chat| chat["messagesCount"].clone())
            .collect()
    })
    .await;
}
