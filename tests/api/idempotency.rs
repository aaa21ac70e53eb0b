//! Creations with an idempotency key.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    App, Chat, Client, Fixture, Response, Server, apply,
    credentials::{claims, sign},
    eventually_eq, on_each_backend, on_each_guarded_server, on_each_server,
};

impl Client {
    /// Creates a message with an idempotency key.
    pub async fn create_keyed(&self, chat: &Chat, key: &str, body: &Value) -> Response {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let path = format!("{chat}/message");
        self.send("POST", path, &headers, body.to_string()).await
    }

    async fn create_keyed_chat(&self, app: &App, key: &str) -> Response {
        let headers = [("idempotency-key", key)];
        self.send("POST", format!("{app}/chat"), &headers, "").await
    }
}

/// Checks that a response repeats the first one.
fn expect_replay(response: &Response, first: &Response) {
    response.expect(201, &first.body);
    assert_eq!(response.header("location"), first.header("location"));
    assert_eq!(response.header("idempotent-replayed"), Some("true"));
    assert_eq!(response.header("etag"), None);
    assert_eq!(first.header("idempotent-replayed"), None);
}

#[apply(on_each_server!)]
async fn repeated_creation_returns_the_first_outcome_from_every_process(server: &Server) {
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let chat = clients[0].new_chat(&app).await;
    let body = json!({"message": "hello", "sender": "alice", "data": {"a": 1, "b": [2]}});
    let first = clients[0].create_keyed(&chat, "key-1", &body).await;
    first.expect_status(201);
    assert!(first.header("etag").is_some());
    // Equal as JSON values.
    let equal = r#"{"data":{"b":[2.0],"a":1},"sender":"alice","message":"h\u0065llo"}"#;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "\"key-1\""),
    ];
    for client in &clients {
        expect_replay(&client.create_keyed(&chat, "key-1", &body).await, &first);
        let path = format!("{chat}/message");
        expect_replay(&client.send("POST", path, &headers, equal).await, &first);
        for other in [
            json!({"message": "hello!", "sender": "alice", "data": {"a": 1, "b": [2]}}),
            json!({"message": "hello", "sender": "bob", "data": {"a": 1, "b": [2]}}),
            json!({"message": "hello", "sender": "alice", "data": {"a": 1}}),
            json!({"message": "hello"}),
        ] {
            let reused = client.create_keyed(&chat, "key-1", &other).await;
            reused.expect_error(422, "Idempotency-Key was used with another body");
        }
    }
    let second = clients[0].create_keyed(&chat, "key-2", &body).await;
    assert_eq!(second.number_field("MessageID"), 2);
    let chat_created = clients[0].create_keyed_chat(&app, "key-1").await;
    assert_eq!(chat_created.number_field("Chat"), 2);
    for client in &clients {
        expect_replay(
            &client.create_keyed_chat(&app, "key-1").await,
            &chat_created,
        );
    }
    // A key belongs to a chat.
    let other = Chat {
        app: app.id.clone(),
        number: 2,
    };
    let third = clients[0].create_keyed(&other, "key-1", &body).await;
    assert_eq!(third.number_field("MessageID"), 1);
    assert_eq!(third.header("idempotent-replayed"), None);
}

#[apply(on_each_server!)]
async fn malformed_keys_are_rejected(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let body = json!({"message": "hello"});
    let longest = "x".repeat(255);
    for malformed in ["", "\"\"", "a b", "é", &format!("{longest}x")] {
        let response = api.create_keyed(&chat, malformed, &body).await;
        let error = "Idempotency-Key must be 1 to 255 visible ASCII characters";
        response.expect_error(400, error);
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let path = format!("{chat}/message");
    let response = api.send("POST", path, &twice, body.to_string()).await;
    response.expect_error(400, "Idempotency-Key must be given once");
    let first = api.create_keyed(&chat, &longest, &body).await;
    assert_eq!(first.number_field("MessageID"), 1);
}

#[apply(on_each_server!)]
async fn concurrent_creations_with_one_key_create_one_thing(server: &Server) {
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let chat = clients[0].new_chat(&app).await;
    for round in 0..5 {
        let key = format!("round {round}").replace(' ', "-");
        let create = async |client: usize| {
            let client = &clients[client % clients.len()];
            let message = client
                .create_keyed(&chat, &key, &json!({"message": "hello"}))
                .await;
            let chat = client.create_keyed_chat(&app, &key).await;
            message.expect_status(201);
            chat.expect_status(201);
            let replayed = [&message, &chat]
                .map(|response| usize::from(response.header("idempotent-replayed").is_some()));
            (message.body, chat.body, replayed)
        };
        let outcomes = join_all((0..20).map(create)).await;
        let (message, chat, _) = &outcomes[0];
        for outcome in &outcomes {
            assert_eq!((&outcome.0, &outcome.1), (message, chat));
        }
        for thing in 0..2 {
            let replayed: usize = outcomes.iter().map(|outcome| outcome.2[thing]).sum();
            assert_eq!(replayed, 19);
        }
    }
    assert_eq!(clients[0].create_message(&chat, "next").await, 6);
    assert_eq!(clients[0].new_chat(&app).await.number, 7);
}

#[apply(on_each_backend!)]
async fn keys_are_known_after_storing_and_a_restart(fixture: &Fixture) {
    let idle = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let app = idle.new_app().await;
    let chat = idle.new_chat(&app).await;
    let body = json!({"message": "hello"});
    let message = idle.create_keyed(&chat, "key", &body).await;
    let second = idle.create_keyed_chat(&app, "key").await;
    expect_replay(&idle.create_keyed(&chat, "key", &body).await, &message);
    drop(idle);
    let api = fixture.start().await;
    eventually_eq("it is stored", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    expect_replay(&api.create_keyed(&chat, "key", &body).await, &message);
    expect_replay(&api.create_keyed_chat(&app, "key").await, &second);
    let other = json!({"message": "other"});
    let reused = api.create_keyed(&chat, "key", &other).await;
    reused.expect_error(422, "Idempotency-Key was used with another body");

    // Once it is deleted, the key stays.
    api.delete(chat.message(1)).await;
    for body in [&body, &other] {
        let gone = api.create_keyed(&chat, "key", body).await;
        gone.expect_error(404, "Message not found");
    }
    api.delete(format!("{app}/chat/2")).await;
    let gone = api.create_keyed_chat(&app, "key").await;
    gone.expect_error(404, "Chat not found");
    eventually_eq("it is stored", json!(0), async || {
        api.messages_count(&chat).await
    })
    .await;
    drop(api);
    let api = fixture.start().await;
    let gone = api.create_keyed(&chat, "key", &body).await;
    gone.expect_error(404, "Message not found");
    let gone = api.create_keyed_chat(&app, "key").await;
    gone.expect_error(404, "Chat not found");
    assert_eq!(api.create_message(&chat, "next").await, 2);
}

#[apply(on_each_guarded_server!)]
async fn keys_belong_to_users(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let keys = [
        api.new_key(&app, &json!({})).await,
        api.new_key(&app, &json!({})).await,
    ];
    let [alice, bob] = ["alice", "bob"].map(|user| {
        let token = sign(&keys[0], &claims(&app, user));
        api.with_credential(&token)
    });
    let body = json!({"message": "hello"});
    let mut numbers = Vec::new();
    for client in [&alice, &bob, &api.with_credential(&keys[0])] {
        let created = client.create_keyed(&chat, "key", &body).await;
        created.expect_status(201);
        numbers.push(created.number_field("MessageID"));
    }
    assert_eq!(numbers, [1, 2, 3]);
    // All keys of servers are one.
    let other = api.with_credential(&keys[1]);
    let repeated = other.create_keyed(&chat, "key", &body).await;
    assert_eq!(repeated.number_field("MessageID"), 3);
    // The sender of a user is the user, whatever the body says.
    let body = json!({"message": "hello", "sender": "somebody"});
    let repeated = alice.create_keyed(&chat, "key", &body).await;
    assert_eq!(repeated.number_field("MessageID"), 1);
}
