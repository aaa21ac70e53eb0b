//! The exact limits, one more than each, and unusual JSON.

use serde_json::json;

use crate::support::{Client, Server, apply, eventually_eq, on_each_server};

const MAX_USERNAME: usize = 255;
const MAX_MESSAGE: usize = 16_000;
const MAX_BODY: usize = 262_144;

/// Characters of 1 to 4 bytes, and a combining mark.
const CHARACTERS: [&str; 5] = ["a", "é", "ท", "😀", "\u{301}"];

const JSON: (&str, &str) = ("content-type", "application/json");

#[apply(on_each_server!)]
async fn username_is_limited_to_255_characters(server: &Server) {
    let api = server.client();
    for character in CHARACTERS {
        let longest = character.repeat(MAX_USERNAME);
        let response = api
            .post("/application", &json!({"username": longest}))
            .await;
        response.expect_status(201);
        let app = response.text_field("Application");
        let path = format!("/application/{app}");
        assert_eq!(api.get(&path).await.text_field("Username"), longest);
        // It also fits into its row.
        let stored = format!("SELECT COUNT(*) FROM applications WHERE id = '{app}'");
        eventually_eq("the row", Some(1), async || {
            server.stores().stored_number(&stored).await
        })
        .await;
        assert_eq!(api.get(&path).await.text_field("Username"), longest);

        let longer = character.repeat(MAX_USERNAME + 1);
        api.post("/application", &json!({"username": longer}))
            .await
            .expect_error(400, "Username must be at most 255 characters");
    }
}

#[apply(on_each_server!)]
async fn message_is_limited_to_16000_characters(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    api.create_message(&chat, "to be changed").await;
    let mut stored = vec![(1, String::new())];
    for (number, character) in (2..).zip(CHARACTERS) {
        let longest = character.repeat(MAX_MESSAGE);
        assert_eq!(api.create_message(&chat, &longest).await, number);
        assert_eq!(api.text(&chat, number).await, longest);
        api.update_message(&chat, 1, &longest).await;
        assert_eq!(api.text(&chat, 1).await, longest);
        stored.push((number, longest.clone()));
        stored[0].1 = longest;

        let longer = json!({"message": character.repeat(MAX_MESSAGE + 1)});
        let error = "Message must be at most 16000 characters";
        api.post(&path, &longer).await.expect_error(400, error);
        api.put(chat.message(1), &longer)
            .await
            .expect_error(400, error);
    }
    let right = stored.clone();
    eventually_eq("the stored texts are whole", true, async || {
        server.stores().stored_messages(&chat).await == right
    })
    .await;
    for (number, text) in stored {
        assert_eq!(api.text(&chat, number).await, text);
    }
}

#[apply(on_each_server!)]
async fn longest_message_fits_in_every_json_escaping(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    let escaped = |count| format!(r#"{{"message":"{}"}}"#, r"\ud83d\ude00".repeat(count));
    let response = api.send("POST", &path, &[JSON], escaped(MAX_MESSAGE)).await;
    response.expect_status(201);
    assert_eq!(api.text(&chat, 1).await, "😀".repeat(MAX_MESSAGE));
    api.send("POST", &path, &[JSON], escaped(MAX_MESSAGE + 1))
        .await
        .expect_error(400, "Message must be at most 16000 characters");
}

/// A body of that many bytes, most of them in an unknown field.
fn padded(field: &str, size: usize) -> String {
    let (start, end) = (format!(r#"{{"{field}":"hello","padding":""#), r#""}"#);
    let padding = "x".repeat(size - start.len() - end.len());
    start + &padding + end
}

#[apply(on_each_server!)]
async fn body_is_limited_to_262144_bytes(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "to be changed").await;
    for (method, path, field, success) in [
        ("POST", "/application".to_owned(), "username", 201),
        ("POST", format!("{chat}/message"), "message", 201),
        ("PUT", chat.message(1), "message", 200),
    ] {
        let largest = padded(field, MAX_BODY);
        assert_eq!(largest.len(), MAX_BODY);
        api.send(method, &path, &[JSON], largest)
            .await
            .expect_status(success);
        api.send(method, &path, &[JSON], padded(field, MAX_BODY + 1))
            .await
            .expect_error(413, "Body must be at most 262144 bytes");

        // The same without a declared size.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let size = MAX_BODY + 1;
        let body = padded(field, size);
        let request = format!("{head}{size:x}\r\n{body}\r\n0\r\n\r\n");
        let response = api.raw_bytes(request.as_bytes()).await;
        response
            .expect("a response")
            .expect_error(413, "Body must be at most 262144 bytes");
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
}

#[apply(on_each_server!)]
async fn unknown_fields_are_ignored(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let deep_array = "[".repeat(1_000) + &"]".repeat(1_000);
    let deep_object = r#"{"a":"#.repeat(1_000) + "1" + &"}".repeat(1_000);
    let deepest = "[".repeat(100_000) + &"]".repeat(100_000);
    let huge = "9".repeat(100_000);
    let many = vec!["0"; 100_000].join(",");
    for value in [
        "null",
        "-0.5e-7",
        "1e999",
        "\"text\"",
        r#"{"message":"not this one"}"#,
        &deep_array,
        &deep_object,
        &deepest,
        &huge,
        &format!("[{many}]"),
    ] {
        for body in [
            format!(r#"{{"message":"hello","other":{value}}}"#),
            format!(r#"{{"other":{value},"message":"hello","":{value}}}"#),
        ] {
            if body.len() > MAX_BODY {
                continue;
            }
            let response = api
                .send("POST", format!("{chat}/message"), &[JSON], body)
                .await;
            response.expect_status(201);
            assert_eq!(response.text_field("Message"), "hello");
        }
    }
}

#[apply(on_each_server!)]
async fn nested_and_large_json_is_validated_like_any_other(server: &Server) {
    const NOT_JSON: &str = "Body must be valid JSON in UTF-8";
    const NO_STRING: &str = "Message must be a string";
    const NO_OBJECT: &str = "Body must be a JSON object";
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    let mut wrong = Vec::new();
    for depth in [1_000, 100_000] {
        let array = "[".repeat(depth) + &"]".repeat(depth);
        let half = depth / 4;
        let object = r#"{"a":"#.repeat(half) + "1" + &"}".repeat(half);
        for (body, error) in [
            (format!(r#"{{"message":{array}}}"#), NO_STRING),
            (format!(r#"{{"message":{object}}}"#), NO_STRING),
            (array.clone(), NO_OBJECT),
            ("[".repeat(depth), NOT_JSON),
            (r#"{"a":"#.repeat(half), NOT_JSON),
            (format!(r#"{{"message":{}"#, "[".repeat(depth)), NOT_JSON),
            (
                format!(r#"{{"message":"hello","other":{}}}"#, "[".repeat(depth)),
                NOT_JSON,
            ),
            (format!(r#"{{"message":{}}}"#, "7".repeat(depth)), NO_STRING),
        ] {
            let shown: String = body.chars().take(40).collect();
            let response = api.send("POST", &path, &[JSON], body).await;
            // Checks all cases even if one fails.
            if !response.is_error(400, error) {
                wrong.push(format!("{shown}… {response} instead of {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    api.get("/up").await.expect_status(200);
}

#[apply(on_each_server!)]
async fn last_value_of_a_repeated_field_is_used(server: &Server) {
    async fn post(api: &Client, path: &str, body: &str) -> crate::support::Response {
        api.send("POST", path, &[JSON], body).await
    }
    let api = server.client();
    let path = format!("{}/message", api.new_app_and_chat().await);
    for body in [
        r#"{"message":"first","message":"last"}"#,
        r#"{"message":1,"message":"last"}"#,
        r#"{"message":null,"other":0,"message":"last"}"#,
        r#"{"message":"first","\u006dessage":"last"}"#,
    ] {
        let response = post(&api, &path, body).await;
        response.expect_status(201);
        assert_eq!(response.text_field("Message"), "last", "{body}");
    }
    post(&api, &path, r#"{"message":"first","message":1}"#)
        .await
        .expect_error(400, "Message must be a string");
    post(&api, &path, r#"{"message":"first","message":null}"#)
        .await
        .expect_error(400, "Message is required");
}
