//! Path segments are plain numbers or exact IDs; anything else returns 404.

use serde_json::json;

use crate::support::{App, Chat, Client, Server, apply, on_each_server};

const MESSAGE: &str = r#"{"message":"Hello, World!"}"#;

/// Invalid chat and message numbers.
const NO_NUMBERS: [&str; 32] = [
    "0",
    "00",
    "-0",
    "-1",
    "+1",
    "007",
    "01",
    "1.0",
    "1.",
    "1e0",
    "1e3",
    "0x1",
    "1_000",
    "1,000",
    // 2^53, 2^63, 2^64, 2^64 + 1, and a number too large for any integer.
    "9007199254740992",
    "9223372036854775808",
    "18446744073709551616",
    "18446744073709551617",
    "99999999999999999999999999999999999999999999",
    "%00",
    "1%00",
    "%2e%2e",
    "..",
    ".",
    "1%20",
    "%201",
    "1%0a",
    // Digits in Arabic, full width, and superscript.
    "%D9%A1",
    "%EF%BC%91",
    "%C2%B9",
    "one",
    "%FF",
];

/// The requests whose path contains a chat number, and the name of the missing resource.
fn routes_with_a_chat(app: &str, chat: &str) -> Vec<(&'static str, String, &'static str)> {
    let path = format!("/application/{app}/chat/{chat}");
    const NO_CHAT: &str = "Chat not found";
    const NO_MESSAGE: &str = "Message not found";
    vec![
        ("GET", path.clone(), NO_CHAT),
        ("GET", format!("{path}/messages"), NO_CHAT),
        ("GET", format!("{path}/search"), NO_CHAT),
        ("GET", format!("{path}/search/hello"), NO_CHAT),
        ("POST", format!("{path}/message"), NO_CHAT),
        ("GET", format!("{path}/message/1"), NO_MESSAGE),
        ("PUT", format!("{path}/message/1"), NO_MESSAGE),
    ]
}

/// An application whose ID contains a letter, with one chat and one message.
async fn app_with_a_letter_in_its_id(api: &Client) -> (App, Chat) {
    loop {
        let app = api.new_app().await;
        if app.id.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            let chat = api.new_chat(&app).await;
            api.create_message(&chat, "hello").await;
            return (app, chat);
        }
    }
}

#[apply(on_each_server!)]
async fn malformed_chat_numbers_return_404(server: &Server) {
    let api = server.client();
    let (app, chat) = app_with_a_letter_in_its_id(&api).await;
    for number in NO_NUMBERS {
        for (method, path, error) in routes_with_a_chat(&app.id, number) {
            let response = api.raw(method, &path, MESSAGE).await;
            response.expect_error(404, error);
        }
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
    assert_eq!(api.create_message(&chat, "the second").await, 2);
}

#[apply(on_each_server!)]
async fn malformed_message_numbers_return_404(server: &Server) {
    let api = server.client();
    let (_, chat) = app_with_a_letter_in_its_id(&api).await;
    for number in NO_NUMBERS {
        for method in ["GET", "PUT"] {
            let path = format!("{chat}/message/{number}");
            let response = api.raw(method, &path, MESSAGE).await;
            response.expect_error(404, "Message not found");
        }
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
}

#[apply(on_each_server!)]
async fn malformed_application_ids_return_404(server: &Server) {
    let api = server.client();
    let (app, _) = app_with_a_letter_in_its_id(&api).await;
    let id = &app.id;
    for wrong in [
        &id.to_uppercase(),
        &id[..7],
        &format!("{id}0"),
        &format!("0{id}"),
        &format!("{id}%20"),
        &format!("%20{id}"),
        &format!("{id}%00"),
        &format!("0x{}", &id[..6]),
        "%00",
        "%2e%2e",
        "..",
        ".",
        "0",
        "zzzzzzzz",
        "%D9%A0%D9%A1%D9%A2%D9%A3",
        "%FF%FF%FF%FF%FF%FF%FF%FF",
        &"0".repeat(1_000),
    ] {
        let path = format!("/application/{wrong}");
        let application = [
            ("GET", path.clone()),
            ("POST", format!("{path}/chat")),
            ("POST", format!("{path}/chats")),
            ("GET", format!("{path}/chats")),
        ];
        for (method, path) in application {
            let response = api.raw(method, &path, "").await;
            response.expect_error(404, "Application not found");
        }
        for (method, path, error) in routes_with_a_chat(wrong, "1") {
            let response = api.raw(method, &path, MESSAGE).await;
            response.expect_error(404, error);
        }
    }
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "1");
}

#[apply(on_each_server!)]
async fn highest_possible_number_returns_404(server: &Server) {
    let api = server.client();
    let (app, chat) = app_with_a_letter_in_its_id(&api).await;
    // 2^53 - 1
    let highest = "9007199254740991";
    for (method, path, error) in routes_with_a_chat(&app.id, highest) {
        let response = api.raw(method, &path, MESSAGE).await;
        response.expect_error(404, error);
    }
    for method in ["GET", "PUT"] {
        let path = format!("{chat}/message/{highest}");
        let response = api.raw(method, &path, MESSAGE).await;
        response.expect_error(404, "Message not found");
    }
}

#[apply(on_each_server!)]
async fn path_is_validated_before_the_body(server: &Server) {
    let api = server.client();
    let (app, chat) = app_with_a_letter_in_its_id(&api).await;
    let empty = json!({"message": ""});
    for wrong in ["007", "0", "-1", "18446744073709551616"] {
        api.post(format!("{app}/chat/{wrong}/message"), &empty)
            .await
            .expect_error(404, "Chat not found");
        api.put(format!("{app}/chat/{wrong}/message/1"), &empty)
            .await
            .expect_error(404, "Message not found");
        api.put(format!("{chat}/message/{wrong}"), &empty)
            .await
            .expect_error(404, "Message not found");
    }
    api.post("/application/nobody/chat/1/message", &empty)
        .await
        .expect_error(404, "Chat not found");
}
