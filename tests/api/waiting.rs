//! Requests that wait for changes: what ends the wait, and its bounds.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::support::{
    App, Client, Fixture, Process, Response, Server, apply,
    credentials::{claims, now, sign},
    eventually, on_each_backend, on_each_server,
};

const TOO_MANY: &str = "Try again shortly: too many requests wait for changes";

/// The present cursor.
async fn present(api: &Client, app: &App) -> String {
    let response = api.get(format!("{app}/changes?after=now")).await;
    response.expect_status(200);
    response.text_field("next")
}

/// Requests changes after a cursor, and waits for them.
fn wait(api: &Client, app: &App, after: &str, query: &str) -> JoinHandle<Response> {
    let (api, path) = (
        api.clone(),
        format!("{app}/changes?after={after}&wait=50{query}"),
    );
    tokio::spawn(async move { api.get(path).await })
}

/// Waits until that many requests wait for changes in a process.
async fn waiting(api: &Process, count: u64) {
    eventually("the requests wait", async || {
        let metrics = api.admin().get("/metrics").await.body;
        let line = format!("confab_waiting_requests {count}");
        match metrics.lines().any(|found| found == line) {
            true => Ok(()),
            false => Err(metrics),
        }
    })
    .await;
}

fn chats(response: &Response) -> Vec<u64> {
    let body: Value = response.json();
    let changes = body["changes"].as_array().expect("an array").iter();
    let chats = changes.map(|change| change["chatID"].as_u64().expect("a number"));
    chats.collect()
}

#[apply(on_each_server!)]
async fn change_through_any_process_ends_the_wait(server: &Server) {
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let chat = clients[0].new_chat(&app).await;
    for writer in &clients {
        for follower in &clients {
            let after = present(follower, &app).await;
            let waits = wait(follower, &app, &after, "");
            // Also a change before the wait begins is found.
            let number = writer.create_message(&chat, "hello").await;
            let response = waits.await.expect("a response");
            response.expect_status(200);
            let changes = response.json()["changes"].clone();
            assert_eq!(changes[0]["messageID"], number, "{changes}");
            assert_ne!(response.text_field("next"), after);
        }
    }
}

#[apply(on_each_backend!)]
async fn wait_goes_on_until_something_wanted_changes(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let (chat, other) = (api.new_chat(&app).await, api.new_chat(&app).await);
    let after = present(&api, &app).await;
    let waits = wait(&api, &app, &after, &format!("&chat={}", chat.number));
    waiting(&api, 1).await;
    for _ in 0..20 {
        api.create_message(&other, "not wanted").await;
    }
    api.create_message(&chat, "wanted").await;
    let response = waits.await.expect("a response");
    assert_eq!(chats(&response), [chat.number]);
    waiting(&api, 0).await;

    // `now` waits for the first change from now on, and the beginning has changes at once.
    let waits = wait(&api, &app, "now", "");
    waiting(&api, 1).await;
    api.create_message(&other, "the first").await;
    assert_eq!(chats(&waits.await.expect("a response")), [other.number]);
    let all = wait(&api, &app, "0", "").await.expect("a response");
    assert_eq!(chats(&all).len(), 24);
}

#[apply(on_each_backend!)]
async fn wait_ends_in_time_beside_changes_that_are_not_wanted(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    for _ in 0..1500 / 500 {
        api.fill(&chat, "more than one read looks at", 500).await;
    }
    // From the beginning, and at the end.
    for after in ["0", "now"] {
        let waits = tokio::spawn({
            let (api, path) = (
                api.client(),
                format!("{app}/changes?after={after}&wait=1&chat=9"),
            );
            async move { api.get(path).await }
        });
        while !waits.is_finished() {
            api.create_message(&chat, "not wanted").await;
        }
        let response = waits.await.expect("a response");
        response.expect_status(200);
        assert_eq!(chats(&response), [0; 0]);
    }
}

#[apply(on_each_backend!)]
async fn wait_without_a_change_ends_with_the_same_cursor(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let other = api.new_app_and_chat().await;
    let after = present(&api, &app).await;
    let waits = tokio::spawn({
        let (api, path) = (
            api.client(),
            format!("{app}/changes?after={after}&wait=1&chat=7"),
        );
        async move { api.get(path).await }
    });
    waiting(&api, 1).await;
    api.create_message(&other, "another application").await;
    let response = waits.await.expect("a response");
    response.expect_status(200);
    assert_eq!(response.json(), json!({"changes": [], "next": after}));
}

#[apply(on_each_backend!)]
async fn waiting_requests_are_bounded_and_end_with_their_client(fixture: &Fixture) {
    let limit = [("CONFAB_LIMITS__WAITING_REQUESTS", "2")];
    let api = fixture.start_with(&limit).await;
    let app = api.new_app().await;
    let after = present(&api, &app).await;
    let request =
        format!("GET {app}/changes?after={after}&wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(("127.0.0.1", api.port)).await;
        let mut stream = stream.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        streams.push(stream);
    }
    waiting(&api, 2).await;
    let path = format!("{app}/changes?after={after}&wait=50");
    let refused = api.get(&path).await;
    refused.expect_error(503, TOO_MANY);
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Others need no room.
    api.get(format!("{app}/changes?after={after}"))
        .await
        .expect_status(200);
    drop(streams);
    waiting(&api, 0).await;
    let waits = wait(&api, &app, &after, "");
    waiting(&api, 1).await;
    api.new_chat(&app).await;
    waits.await.expect("a response").expect_status(200);
}

#[apply(on_each_backend!)]
async fn end_of_the_credential_or_the_application_ends_the_wait(fixture: &Fixture) {
    let api = fixture.start_guarded(&[]).await;
    let app = api.new_app().await;
    let key = api.new_key(&app, &json!({})).await;
    let mut short = claims(&app, "alice");
    short["exp"] = json!(now() + 3);
    short["chats"] = json!("*");
    let ends = api.with_credential(&sign(&key, &short));
    let mut long = claims(&app, "bob");
    long["chats"] = json!("*");
    let revoked = api.with_credential(&sign(&key, &long));
    let after = present(&api, &app).await;
    let (ends, revoked) = (
        wait(&ends, &app, &after, ""),
        wait(&revoked, &app, &after, ""),
    );
    let deleted = wait(&api, &app, &after, "");
    waiting(&api, 3).await;
    let bob = json!({"user": "bob"});
    let revoke = api.post(format!("{app}/token/revoke"), &bob).await;
    revoke.expect_status(200);
    let response = revoked.await.expect("a response");
    response.expect_error(401, "Credential is not valid");
    let response = ends.await.expect("a response");
    response.expect_error(401, "Credential has expired");
    api.delete(&app).await;
    let response = deleted.await.expect("a response");
    response.expect_error(404, "Application not found");
}

#[apply(on_each_backend!)]
async fn shutdown_ends_the_wait(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let after = present(&api, &app).await;
    let mut stream = TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("a connection");
    let request = format!(
        "GET {app}/changes?after={after}&wait=50 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    waiting(&api, 1).await;
    api.signal("TERM");
    let mut response = String::new();
    let read = tokio::time::timeout(
        Duration::from_secs(20),
        stream.read_to_string(&mut response),
    );
    read.await.expect("in time").expect("read");
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert!(
        response.ends_with(&format!(r#"{{"changes":[],"next":"{after}"}}"#)),
        "{response}"
    );
}
