//! Applications, chats and messages come to be.

use std::collections::HashSet;

use serde_json::json;

use crate::support::{App, Client, Site, free_port, on_each_backing, settles, together};

async fn a_new_application_is_answered_with_its_id_and_its_user(site: &Site) {
    let api = site.start().await;
    let answer = api
        .post("/application", &json!({"username": "Shetewi"}))
        .await;
    let app = answer.text_field("Application");
    answer.expect(
        201,
        &format!(r#"{{"Application":"{app}","Username":"Shetewi"}}"#),
    );
    assert_eq!(
        answer.header("location"),
        Some(&*format!("/application/{app}"))
    );
    let digits = app
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(app.len() == 8 && digits, "{app}");
}

async fn no_application_id_is_given_twice(site: &Site) {
    let api = site.start().await;
    let ids = together(4, |_| {
        let api = api.client();
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

async fn chats_are_numbered_from_one_in_each_application_on_both_paths(site: &Site) {
    let api = site.start().await;
    let apps = [api.new_app().await, api.new_app().await];
    for (number, path) in [(1, "chat"), (2, "chats"), (3, "chats"), (4, "chat")] {
        for app in &apps {
            let answer = api.send("POST", format!("{app}/{path}"), &[], "").await;
            let id = &app.id;
            answer.expect(201, &format!(r#"{{"Application":"{id}","Chat":{number}}}"#));
            assert_eq!(
                answer.header("location"),
                Some(&*format!("/application/{id}/chat/{number}"))
            );
        }
    }
}

async fn whatever_body_comes_with_a_new_chat_is_ignored(site: &Site) {
    let api = site.start().await;
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
        let answer = api
            .send("POST", format!("{app}/{path}"), &headers, body)
            .await;
        let id = &app.id;
        answer.expect(201, &format!(r#"{{"Application":"{id}","Chat":{number}}}"#));
    }
}

async fn messages_are_numbered_from_one_in_each_chat(site: &Site) {
    let api = site.start().await;
    let app = api.new_app().await;
    let chats = [
        api.new_chat(&app).await,
        api.new_chat(&app).await,
        api.new_app_and_chat().await,
    ];
    for number in 1..=3 {
        for chat in &chats {
            let answer = api
                .post(
                    format!("{chat}/message"),
                    &json!({"message": "Hello, World!"}),
                )
                .await;
            let (app, chat_number) = (&chat.app, chat.number);
            answer.expect(
                201,
                &format!(
                    r#"{{"Application":"{app}","Chat":{chat_number},"MessageID":{number},"Message":"Hello, World!"}}"#
                ),
            );
            assert_eq!(answer.header("location"), Some(&*chat.message(number)));
        }
    }
}

async fn a_text_comes_back_as_it_was_sent(site: &Site) {
    let api = site.start().await;
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
        let answer = api.post("/application", &json!({"username": text})).await;
        answer.expect_status(201);
        assert_eq!(answer.text_field("Username"), text);
        let app = App {
            id: answer.text_field("Application"),
        };
        assert_eq!(api.get(&app).await.text_field("Username"), text);

        let chat = api.new_chat(&app).await;
        let answer = api
            .post(format!("{chat}/message"), &json!({"message": text}))
            .await;
        answer.expect_status(201);
        assert_eq!(answer.text_field("Message"), text);
        assert_eq!(api.text(&chat, 1).await, text);
    }
}

async fn the_creation_port_serves_the_same_routes(site: &Site) {
    let port = free_port();
    let main = site
        .start_with(&[("CONFAB_SERVER__CREATION_PORT", &port.to_string())])
        .await;
    let creations = Client::new(port);
    creations.get("/up").await.expect_status(200);

    let app = creations.new_app().await;
    let chat = creations.new_chat(&app).await;
    assert_eq!(main.new_chat(&app).await.number, 2);
    assert_eq!(creations.say(&chat, "from the creation port").await, 1);
    assert_eq!(main.say(&chat, "from the API's port").await, 2);
    creations.change(&chat, 2, "changed").await;
    settles("both are counted", json!(2), async || {
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

on_each_backing!(
    a_new_application_is_answered_with_its_id_and_its_user,
    no_application_id_is_given_twice,
    chats_are_numbered_from_one_in_each_application_on_both_paths,
    whatever_body_comes_with_a_new_chat_is_ignored,
    messages_are_numbered_from_one_in_each_chat,
    a_text_comes_back_as_it_was_sent,
    the_creation_port_serves_the_same_routes,
);
