//! The examples of docs/security.md by which a backend signs user tokens itself.

use std::process::Command;

use serde_json::{Value, json};

use crate::{
    keys::{create, start_required},
    support::{BackendKind, Fixture, run},
};

/// The first code block of the page in this language.
fn example(language: &str) -> String {
    let page = include_str!("../../docs/security.md");
    let (_, rest) = page
        .split_once(&format!("```{language}\n"))
        .unwrap_or_else(|| panic!("no example in {language}"));
    let (code, _) = rest.split_once("```").expect("the end of the example");
    code.to_owned()
}

/// Runs a program that prints one token.
fn token(program: &str, option: &str, code: &str) -> String {
    let output = Command::new(program).args([option, code]).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout)
        .expect("a text")
        .trim()
        .to_owned()
}

async fn tokens_of_the_examples_are_accepted(fixture: &Fixture) {
    let api = start_required(fixture).await;
    let (_, installation) = create(fixture, &[]).await;
    let send = async |method, path: &str, credential: &str, body: Value| {
        let credential = format!("Bearer {credential}");
        let headers = [
            ("authorization", credential.as_str()),
            ("content-type", "application/json"),
        ];
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        api.send(method, path, &headers, body).await
    };
    let username = json!({"username": "Shetewi"});
    let app = send("POST", "/application", &installation, username).await;
    app.expect_status(201);
    let app = app.text_field("Application");
    let chat = format!("/application/{app}/chat");
    for _ in 0..2 {
        let created = send("POST", &chat, &installation, Value::Null).await;
        created.expect_status(201);
    }
    let (_, key) = create(fixture, &["--application", &app]).await;
    let sign = |rest: &str| {
        let arguments = format!("{}, {}, \"alice\", [1]{rest}", json!(key), json!(app));
        let javascript = format!("{}\nconsole.log(userToken({arguments}))", example("js"));
        let python = format!("{}\nprint(user_token({arguments}))", example("python"));
        [
            token("node", "-e", &javascript),
            token("python3", "-c", &python),
        ]
    };
    let list = format!("{chat}/1/messages");
    let tokens = sign("");
    for token in &tokens {
        let messages = format!("{chat}/1/message");
        let created = send("POST", &messages, token, json!({"message": "hello"})).await;
        created.expect_status(201);
        send("GET", &list, token, Value::Null)
            .await
            .expect_status(200);
        let other = send("GET", &format!("{chat}/2/messages"), token, Value::Null).await;
        other.expect_error(404, "Chat not found");
    }
    // After a revocation.
    let revoke = format!("/application/{app}/token/revoke");
    let revoked = send("POST", &revoke, &key, json!({"user": "alice"})).await;
    let until = revoked.number_field("issuedUntil");
    for token in tokens {
        let refused = send("GET", &list, &token, Value::Null).await;
        refused.expect_error(401, "Credential is not valid");
    }
    for token in sign(&format!(", 900, {until}")) {
        send("GET", &list, &token, Value::Null)
            .await
            .expect_status(200);
    }
}

#[test]
#[ignore = "needs Node.js and Python: make test"]
fn examples_sign_tokens_that_are_accepted() {
    run(BackendKind::Embedded, tokens_of_the_examples_are_accepted);
}
