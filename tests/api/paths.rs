//! What stands in a path is a plain number, or an id to the letter; anything else names nothing.

use serde_json::json;

use crate::support::{App, Chat, Client, Site, on_each_backing};

const MESSAGE: &str = r#"{"message":"Hello, World!"}"#;

/// Each of them in a path, where a chat or a message is named.
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
    // 2^53, 2^63, 2^64, 2^64 + 1, and what no integer holds.
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
    // One in Arabic, in full width, and superscript.
    "%D9%A1",
    "%EF%BC%91",
    "%C2%B9",
    "one",
    "%FF",
];

/// The requests whose path names a chat, with `chat` in its place, and what a chat that is not there is called.
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

/// An application whose id has a letter in it, with one chat and one message.
async fn lettered(api: &Client) -> (App, Chat) {
    loop {
        let app = api.new_app().await;
        if app.id.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            let chat = api.new_chat(&app).await;
            api.say(&chat, "hello").await;
            return (app, chat);
        }
    }
}

async fn what_is_no_plain_number_names_no_chat(site: &Site) {
    let api = site.start().await;
    let (app, chat) = lettered(&api).await;
    for number in NO_NUMBERS {
        for (method, path, error) in routes_with_a_chat(&app.id, number) {
            let answer = api.raw(method, &path, MESSAGE).await;
            answer.expect_error(404, error);
        }
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
    assert_eq!(api.say(&chat, "the second").await, 2);
}

async fn what_is_no_plain_number_names_no_message(site: &Site) {
    let api = site.start().await;
    let (_, chat) = lettered(&api).await;
    for number in NO_NUMBERS {
        for method in ["GET", "PUT"] {
            let path = format!("{chat}/message/{number}");
            let answer = api.raw(method, &path, MESSAGE).await;
            answer.expect_error(404, "Message not found");
        }
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
}

async fn what_is_no_id_to_the_letter_names_no_application(site: &Site) {
    let api = site.start().await;
    let (app, _) = lettered(&api).await;
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
            let answer = api.raw(method, &path, "").await;
            answer.expect_error(404, "Application not found");
        }
        for (method, path, error) in routes_with_a_chat(wrong, "1") {
            let answer = api.raw(method, &path, MESSAGE).await;
            answer.expect_error(404, error);
        }
    }
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "1");
}

async fn the_highest_number_is_simply_not_there(site: &Site) {
    let api = site.start().await;
    let (app, chat) = lettered(&api).await;
    // 2^53 - 1
    let highest = "9007199254740991";
    for (method, path, error) in routes_with_a_chat(&app.id, highest) {
        let answer = api.raw(method, &path, MESSAGE).await;
        answer.expect_error(404, error);
    }
    for method in ["GET", "PUT"] {
        let path = format!("{chat}/message/{highest}");
        let answer = api.raw(method, &path, MESSAGE).await;
        answer.expect_error(404, "Message not found");
    }
}

async fn the_path_is_judged_before_the_body(site: &Site) {
    let api = site.start().await;
    let (app, chat) = lettered(&api).await;
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

on_each_backing!(
    what_is_no_plain_number_names_no_chat,
    what_is_no_plain_number_names_no_message,
    what_is_no_id_to_the_letter_names_no_application,
    the_highest_number_is_simply_not_there,
    the_path_is_judged_before_the_body,
);
