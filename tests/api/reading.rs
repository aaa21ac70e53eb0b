//! Read-your-writes consistency, and the exact fields of resources.

use serde_json::Value;

use crate::support::{
    App, Client, Fixture, Server, apply, eventually_eq, on_each_backend, on_each_server,
};

const WORKERS_OFF: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

#[apply(on_each_server!)]
async fn application_has_exactly_the_documented_fields(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let response = api.get(&app).await;
    let (id, created) = (&app.id, response.time_field("CreatedAt"));
    response.expect(
        200,
        &format!(
            r#"{{"Application":"{id}","Username":"Shetewi","ChatsCount":"0","CreatedAt":"{created}"}}"#
        ),
    );
}

#[apply(on_each_server!)]
async fn chat_has_exactly_the_documented_fields(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let response = api.get(&chat).await;
    let (app, created) = (&chat.app, response.time_field("CreatedAt"));
    response.expect(
        200,
        &format!(
            r#"{{"Application":"{app}","Chat":1,"MessagesCount":null,"CreatedAt":"{created}"}}"#
        ),
    );

    api.create_message(&chat, "Hello, World!").await;
    let counted =
        format!(r#"{{"Application":"{app}","Chat":1,"MessagesCount":1,"CreatedAt":"{created}"}}"#);
    eventually_eq("the chat with its count", counted, async || {
        api.get(&chat).await.body
    })
    .await;
}

#[apply(on_each_server!)]
async fn message_has_exactly_the_documented_fields(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "Guess what?").await;
    let response = api.get(chat.message(1)).await;
    let (app, created) = (&chat.app, response.time_field("CreatedAt"));
    response.expect(
        200,
        &format!(
            r#"{{"Application":"{app}","Chat":1,"MessageID":"1","Message":"Guess what?","CreatedAt":"{created}"}}"#
        ),
    );
}

#[apply(on_each_server!)]
async fn writes_are_readable_immediately_from_every_process(server: &Server) {
    let clients = server.clients();
    for round in 0..20 {
        let writer = &clients[round % clients.len()];
        let reader = &clients[(round + 1) % clients.len()];

        let app = writer.new_app().await;
        assert_eq!(reader.get(&app).await.text_field("ChatsCount"), "0");
        let chat = writer.new_chat(&app).await;
        assert_eq!(reader.get(&app).await.text_field("ChatsCount"), "1");
        assert_eq!(reader.get(&chat).await.number_field("Chat"), 1);
        let chats = reader.get(format!("{app}/chats")).await;
        assert_eq!(chats.numbers("chatID"), [1]);
        let messages = reader.get(format!("{chat}/messages")).await;
        messages.expect(200, "[]");

        let number = writer.create_message(&chat, "as created").await;
        assert_eq!(reader.text(&chat, number).await, "as created");
        let messages = reader.get(format!("{chat}/messages")).await;
        assert_eq!(messages.numbers("messageID"), [number]);

        // From here on the reader writes and the writer reads.
        reader.update_message(&chat, number, "as changed").await;
        assert_eq!(writer.text(&chat, number).await, "as changed");
        let messages = writer.get(format!("{chat}/messages")).await;
        assert_eq!(messages.json()[0]["message"], "as changed");
        assert_eq!(reader.create_message(&chat, "the second").await, 2);
    }
}

/// Every GET path except search.
async fn everything(api: &Client, app: &App) -> Vec<String> {
    let mut all = Vec::new();
    for path in [
        app.to_string(),
        format!("{app}/chats"),
        format!("{app}/chat/1"),
        format!("{app}/chat/2"),
        format!("{app}/chat/1/messages"),
        format!("{app}/chat/2/messages"),
        format!("{app}/chat/1/message/1"),
        format!("{app}/chat/1/message/2"),
    ] {
        let response = api.get(path).await;
        response.expect_status(200);
        all.push(response.body);
    }
    all
}

/// The body as before the first message is counted.
fn without_counts(bodies: Vec<String>) -> Vec<String> {
    bodies
        .into_iter()
        .map(|body| {
            body.replace(r#"sCount":1"#, r#"sCount":null"#)
                .replace(r#"sCount":2"#, r#"sCount":null"#)
        })
        .collect()
}

#[apply(on_each_backend!)]
async fn pending_writes_read_the_same_before_and_after_storing(fixture: &Fixture) {
    let processes = fixture.start_all_with(&[WORKERS_OFF]).await;
    let api = &processes[0];
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.new_chat(&app).await;
    api.create_message(&chat, "as created").await;
    api.create_message(&chat, "never changed").await;
    api.update_message(&chat, 1, "as changed").await;

    let before = everything(api, &app).await;
    assert!(before[0].contains(r#""ChatsCount":"2""#), "{before:#?}");
    assert!(before[6].contains(r#""as changed""#), "{before:#?}");
    assert!(before[7].contains(r#""never changed""#), "{before:#?}");
    for other in &processes {
        assert_eq!(everything(other, &app).await, before);
    }
    assert_eq!(fixture.stored_messages(&chat).await, []);
    drop(processes);

    let api = fixture.start().await;
    eventually_eq("both messages are counted", Value::from(2), async || {
        // Whatever is stored by now, only the counts may differ.
        assert_eq!(without_counts(everything(&api, &app).await), before);
        api.messages_count(&chat).await
    })
    .await;
    // The update is another kind of job: it may be stored after both have been counted.
    let changed = vec![
        (1, "as changed".to_owned()),
        (2, "never changed".to_owned()),
    ];
    eventually_eq("the change is stored", changed, async || {
        fixture.stored_messages(&chat).await
    })
    .await;
}

#[apply(on_each_backend!)]
async fn writes_accepted_without_workers_are_stored_by_another_process(fixture: &Fixture) {
    let api = fixture.start_with(&[WORKERS_OFF]).await;
    let chat = api.new_app_and_chat().await;
    for number in 1..=10 {
        assert_eq!(
            api.create_message(&chat, &format!("number {number}")).await,
            number
        );
    }
    drop(api);
    let worker = fixture.start().await;
    eventually_eq("all are stored", 10, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    assert_eq!(worker.text(&chat, 10).await, "number 10");
}

#[apply(on_each_server!)]
async fn creation_times_follow_creation_order(server: &Server) {
    let clients = server.clients();
    let chat = clients[0].new_app_and_chat().await;
    let mut latest = clients[0].get(&chat).await.time_field("CreatedAt");
    for turn in 0..6 {
        let api = &clients[turn % clients.len()];
        let number = api.create_message(&chat, "tick").await;
        let created = api.get(chat.message(number)).await.time_field("CreatedAt");
        // All have the same format, so they sort as text.
        assert!(created >= latest, "{created} after {latest}");
        latest = created;
    }
}
