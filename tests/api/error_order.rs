//! Order of errors of a request that has several: path, size, form, existence, availability.

use serde_json::json;

use crate::support::{Fixture, Server, apply, on_each_backend, on_each_server};

const FULL: &str = "Try again shortly: the queue is full";
const TOO_LARGE: &str = "Body must be at most 262144 bytes";

#[apply(on_each_backend!)]
async fn errors_come_in_the_documented_order(fixture: &Fixture) {
    let api = fixture
        .start_with(&[
            ("CONFAB_WORKERS__ENABLED", "false"),
            ("CONFAB_LIMITS__QUEUE_DEPTH", "3"),
        ])
        .await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "fills the queue").await;
    let app = format!("/application/{}", chat.app);
    let huge = "x".repeat(262_145);
    let text = json!({"message": "hello", "username": "me"}).to_string();
    let (valid, missing, malformed) = (
        format!("{chat}/message"),
        format!("{app}/chat/2/message"),
        format!("{app}/chat/02/message"),
    );
    let json = "application/json";
    for (method, path, declared, body, status, error) in [
        // The path is first.
        ("POST", "/nowhere", "text/plain", &*huge, 404, "Not found"),
        (
            "PATCH",
            &*valid,
            "text/plain",
            &huge,
            405,
            "Method not allowed",
        ),
        (
            "POST",
            &malformed,
            "text/plain",
            &huge,
            404,
            "Chat not found",
        ),
        // Then the size.
        ("POST", &missing, "text/plain", &huge, 413, TOO_LARGE),
        ("POST", "/application", "text/plain", &huge, 413, TOO_LARGE),
        // Then the form.
        (
            "POST",
            &missing,
            "text/plain",
            &text,
            415,
            "Content-Type must be application/json",
        ),
        ("POST", &missing, json, "{}", 400, "Message is required"),
        (
            "POST",
            "/application",
            json,
            "{}",
            400,
            "Username is required",
        ),
        (
            "GET",
            &format!("{app}/chat/2/messages?limit=0"),
            json,
            "",
            400,
            "limit must be a whole number from 1 to 1000",
        ),
        // Then existence.
        ("POST", &missing, json, &text, 404, "Chat not found"),
        (
            "POST",
            "/application/00000000/chats",
            json,
            "",
            404,
            "Application not found",
        ),
        (
            "PUT",
            &format!("{chat}/message/2"),
            json,
            &text,
            404,
            "Message not found",
        ),
        // Then what is unavailable.
        ("POST", &valid, json, &text, 503, FULL),
        ("POST", &format!("{app}/chats"), json, "", 503, FULL),
        ("PUT", &format!("{valid}/1"), json, &text, 503, FULL),
        ("POST", "/application", json, &text, 503, FULL),
    ] {
        println!("{method} {path}, expecting {status}");
        let headers = [("content-type", declared)];
        let response = api.send(method, path, &headers, body).await;
        response.expect_error(status, error);
    }
}

#[apply(on_each_server!)]
async fn declared_size_is_rejected_before_the_body_arrives(server: &Server) {
    let api = server.client();
    let request = "POST /application HTTP/1.1\r\nHost: localhost\r\nContent-Length: 262145\r\n\
        Content-Type: text/plain\r\nConnection: close\r\n\r\n";
    let response = api.raw_bytes(request.as_bytes()).await.expect("a response");
    response.expect_error(413, TOO_LARGE);
}
