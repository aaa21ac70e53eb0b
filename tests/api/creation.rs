//! Creating applications, chats and messages.

use std::collections::HashSet;

use serde_json::json;

use crate::support::{
    App, Client, Fixture, Server, apply, concurrently, eventually_eq, free_port, on_each_backend,
    on_each_server,
};

#[apply(on_each_server!)]
async fn creating_an_application_returns_its_id_and_username(server: &Server) {
    let api = server.client();
    let response = api
        .post("/application", &json!({"username": "Shetewi"}))
        .await;
    let app = response.text_field("Application");
    response.expect(
        201,
        &format!(r#"{{"Application":"{app}","Username":"Shetewi"}}"#),
    );
    assert_eq!(response.location(), Some(format!("/application/{app}")));
    let digits = app
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(app.len() == 8 && digits, "{app}");
}

#[apply(on_each_server!)]
async fn application_ids_are_unique(server: &Server) {
    let api = server.client();
    let ids = concurrently(4, |_| {
        let api = api.clone();
        async move {
            let mut ids = Vec::new();
            for _ in 0..50 {
                ids.push(api.new_app().await.id);
            }
            ids
        }
    })
    .await
    .concat();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200);
}

#[apply(on_each_server!)]
async fn chats_are_numbered_from_1_per_application_on_both_paths(server: &Server) {
    let api = server.client();
    let apps = [api.new_app().await, api.new_app().await];
    for (number, path) in [(1, "chat"), (2, "chats"), (3, "chats"), (4, "chat")] {
        for app in &apps {
            let response = api.send("POST", format!("{app}/{path}"), &[], "").await;
            let id = &app.id;
            response.expect(201, &format!(r#"{{"Application":"{id}","Chat":{number}}}"#));
            let location = format!("/application/{id}/chat/{number}");
            assert_eq!(response.location(), Some(location));
        }
    }
}

#[apply(on_each_server!)]
async fn body_of_a_chat_creation_is_ignored(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let bodies: [(&str, &[u8]); 6] = [
        ("application/json", b"{}"),
        ("application/json", b"{\"message\":"),
        ("application/json", b"\xff\xfe"),
        ("text/plain", b"hello"),
        ("not a media type", b"hello"),
        ("", b"[1, 2]"),
    ];
    for (number, (declared, body)) in (1..).zip(bodies) {
        let path = ["chat", "chats"][number % 2];
        let headers = [("content-type", declared)];
        let response = api
            .send("POST", format!("{app}/{path}"), &headers, body)
            .await;
        let id = &app.id;
        response.expect(201, &format!(r#"{{"Application":"{id}","Chat":{number}}}"#));
    }
}

#[apply(on_each_server!)]
async fn messages_are_numbered_from_1_per_chat(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chats = [
        api.new_chat(&app).await,
        api.new_chat(&app).await,
        api.new_app_and_chat().await,
    ];
    for number in 1..=3 {
        for chat in &chats {
            let response = api
                .post(
                    format!("{chat}/message"),
                    &json!({"message": "Hello, World!"}),
                )
                .await;
            let (app, chat_number) = (&chat.app, chat.number);
            response.expect(
                201,
                &format!(
                    r#"{{"Application":"{app}","Chat":{chat_number},"MessageID":{number},"Message":"Hello, World!"}}"#
                ),
            );
            assert_eq!(response.location(), Some(chat.message(number)));
        }
    }
}

#[apply(on_each_server!)]
async fn texts_are_returned_unchanged(server: &Server) {
    let api = server.client();
    let texts = [
        "  white space around it stays \t\n",
        "line\r\nbreaks\u{2028}of every\u{85}kind",
        "\"quotes\" and \\backslashes\\ and </script>",
        "الحمد لله",
        "e\u{301} is not é",
        "👩‍👩‍👧‍👦 and 😀",
        "\u{1}\u{1f}\u{7f}\u{fffd}\u{ffff}\u{10ffff}",
        "'; DROP TABLE messages; --",
        "null",
    ];
    for text in texts {
        let response = api.post("/application", &json!({"username": text})).await;
        response.expect_status(201);
        assert_eq!(response.text_field("Username"), text);
        let app = App {
            id: response.text_field("Application"),
        };
        assert_eq!(api.get(&app).await.text_field("Username"), text);

        let chat = api.new_chat(&app).await;
        let response = api
            .post(format!("{chat}/message"), &json!({"message": text}))
            .await;
        response.expect_status(201);
        assert_eq!(response.text_field("Message"), text);
        assert_eq!(api.text(&chat, 1).await, text);
    }
}

#[apply(on_each_backend!)]
async fn creation_port_serves_the_same_routes(fixture: &Fixture) {
    let port = free_port();
    let main = fixture
        .start_with(&[("CONFAB_SERVER__CREATION_PORT", &port.to_string())])
        .await;
    let creations = Client::new(port);
    creations.get("/up").await.expect_status(200);

    let app = creations.new_app().await;
    let chat = creations.new_chat(&app).await;
    assert_eq!(main.new_chat(&app).await.number, 2);
    assert_eq!(
        creations
            .create_message(&chat, "from the creation port")
            .await,
        1
    );
    assert_eq!(main.create_message(&chat, "from the API's port").await, 2);
    creations.update_message(&chat, 2, "changed").await;
    eventually_eq("both are counted", json!(2), async || {
        main.messages_count(&chat).await
    })
    .await;

    for path in [
        app.to_string(),
        format!("{app}/chats"),
        chat.message(1),
        chat.message(2),
        format!("{chat}/messages"),
    ] {
        let (here, there) = (main.get(&path).await, creations.get(&path).await);
        here.expect_status(200);
        assert_eq!((here.status, here.body), (there.status, there.body));
    }
    creations
        .get("/nowhere")
        .await
        .expect_error(404, "Not found");
}
