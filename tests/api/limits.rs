//! The limits exactly, and one more; and JSON that tries a parser's patience.

use serde_json::json;

use crate::support::{Client, Site, on_each_backing, settles};

const MAX_USERNAME: usize = 255;
const MAX_MESSAGE: usize = 16_000;
const MAX_BODY: usize = 262_144;

/// Characters of 1 to 4 bytes, and one that is a mark on the one before it.
const CHARACTERS: [&str; 5] = ["a", "é", "ท", "😀", "\u{301}"];

const JSON: (&str, &str) = ("content-type", "application/json");

async fn a_username_has_at_most_255_characters(site: &Site) {
    let api = site.start().await;
    for character in CHARACTERS {
        let longest = character.repeat(MAX_USERNAME);
        let answer = api
            .post("/application", &json!({"username": longest}))
            .await;
        answer.expect_status(201);
        let app = answer.text_field("Application");
        let path = format!("/application/{app}");
        assert_eq!(api.get(&path).await.text_field("Username"), longest);
        // It fits into its row as well.
        let stored = format!("SELECT COUNT(*) FROM applications WHERE id = '{app}'");
        settles("the row", Some(1), async || {
            site.stored_number(&stored).await
        })
        .await;
        assert_eq!(api.get(&path).await.text_field("Username"), longest);

        let longer = character.repeat(MAX_USERNAME + 1);
        api.post("/application", &json!({"username": longer}))
            .await
            .expect_error(400, "Username must be at most 255 characters");
    }
}

async fn a_message_has_at_most_16000_characters(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    api.say(&chat, "to be changed").await;
    let mut stored = vec![(1, String::new())];
    for (number, character) in (2..).zip(CHARACTERS) {
        let longest = character.repeat(MAX_MESSAGE);
        assert_eq!(api.say(&chat, &longest).await, number);
        assert_eq!(api.text(&chat, number).await, longest);
        api.change(&chat, 1, &longest).await;
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
    settles("the stored texts are whole", true, async || {
        site.stored_messages(&chat).await == right
    })
    .await;
    for (number, text) in stored {
        assert_eq!(api.text(&chat, number).await, text);
    }
}

async fn the_longest_message_fits_however_it_is_escaped(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    let path = format!("{chat}/message");
    let escaped = |count| format!(r#"{{"message":"{}"}}"#, r"\ud83d\ude00".repeat(count));
    let answer = api.send("POST", &path, &[JSON], escaped(MAX_MESSAGE)).await;
    answer.expect_status(201);
    assert_eq!(api.text(&chat, 1).await, "😀".repeat(MAX_MESSAGE));
    api.send("POST", &path, &[JSON], escaped(MAX_MESSAGE + 1))
        .await
        .expect_error(400, "Message must be at most 16000 characters");
}

/// A body of that many bytes, most of them in a field that nobody knows.
fn padded(field: &str, size: usize) -> String {
    let (start, end) = (format!(r#"{{"{field}":"hello","padding":""#), r#""}"#);
    let padding = "x".repeat(size - start.len() - end.len());
    start + &padding + end
}

async fn a_body_has_at_most_262144_bytes(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "to be changed").await;
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

        // The same where the size is not declared.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let size = MAX_BODY + 1;
        let body = padded(field, size);
        let request = format!("{head}{size:x}\r\n{body}\r\n0\r\n\r\n");
        let answer = api.raw_bytes(request.as_bytes()).await;
        answer
            .expect("an answer")
            .expect_error(413, "Body must be at most 262144 bytes");
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
}

async fn fields_that_nobody_knows_are_ignored_however_they_look(site: &Site) {
    let api = site.start().await;
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
            let answer = api
                .send("POST", format!("{chat}/message"), &[JSON], body)
                .await;
            answer.expect_status(201);
            assert_eq!(answer.text_field("Message"), "hello");
        }
    }
}

async fn nested_and_huge_json_is_judged_like_any_other(site: &Site) {
    const NOT_JSON: &str = "Body must be valid JSON in UTF-8";
    const NO_STRING: &str = "Message must be a string";
    const NO_OBJECT: &str = "Body must be a JSON object";
    let api = site.start().await;
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
            let answer = api.send("POST", &path, &[JSON], body).await;
            // All rows are looked at, whatever is wrong with one.
            if !answer.is_error(400, error) {
                wrong.push(format!("{shown}… {answer} instead of {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    api.get("/up").await.expect_status(200);
}

async fn of_a_field_that_comes_twice_the_last_one_counts(site: &Site) {
    async fn post(api: &Client, path: &str, body: &str) -> crate::support::Answer {
        api.send("POST", path, &[JSON], body).await
    }
    let api = site.start().await;
    let path = format!("{}/message", api.new_app_and_chat().await);
    for body in [
        r#"{"message":"first","message":"last"}"#,
        r#"{"message":1,"message":"last"}"#,
        r#"{"message":null,"other":0,"message":"last"}"#,
        r#"{"message":"first","\u006dessage":"last"}"#,
    ] {
        let answer = post(&api, &path, body).await;
        answer.expect_status(201);
        assert_eq!(answer.text_field("Message"), "last", "{body}");
    }
    post(&api, &path, r#"{"message":"first","message":1}"#)
        .await
        .expect_error(400, "Message must be a string");
    post(&api, &path, r#"{"message":"first","message":null}"#)
        .await
        .expect_error(400, "Message is required");
}

on_each_backing!(
    a_username_has_at_most_255_characters,
    a_message_has_at_most_16000_characters,
    the_longest_message_fits_however_it_is_escaped,
    a_body_has_at_most_262144_bytes,
    fields_that_nobody_knows_are_ignored_however_they_look,
    nested_and_huge_json_is_judged_like_any_other,
    of_a_field_that_comes_twice_the_last_one_counts,
);
