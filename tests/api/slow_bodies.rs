//! Requests whose body arrives late: their credential is checked again.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use crate::support::{
    Chat, Client, Fixture, apply,
    credentials::{claims, key_id, sign},
    on_each_backend,
};

/// Time between head and body, above which the program checks again.
const PAUSE: Duration = Duration::from_millis(1200);

/// A request to create a message whose head was sent and accepted.
struct Begun {
    stream: TcpStream,
    body: String,
}

impl Begun {
    async fn new(api: &Client, chat: &Chat, credential: &str, chunked: bool) -> Self {
        let json = json!({"message": "hello"}).to_string();
        let length = json.len();
        let (size, body) = match chunked {
            false => (format!("Content-Length: {length}"), json),
            true => (
                "Transfer-Encoding: chunked".to_owned(),
                format!("{length:x}\r\n{json}\r\n0\r\n\r\n"),
            ),
        };
        let head = format!(
            "POST {chat}/message HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {credential}\r\nExpect: 100-continue\r\n{size}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(("127.0.0.1", api.port))
            .await
            .expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("the head");
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await.expect("an answer");
        assert!(interim.starts_with(b"HTTP/1.1 100"), "{interim:?}");
        Self { stream, body }
    }

    async fn end(mut self) -> String {
        let body = self.body.as_bytes();
        self.stream.write_all(body).await.expect("the body");
        let mut response = String::new();
        let read = self.stream.read_to_string(&mut response).await;
        read.expect("a response");
        response
    }
}

#[apply(on_each_backend!)]
async fn credential_revoked_before_the_body_arrives_is_refused(fixture: &Fixture) {
    // With a rate limit the caller is identified before the route is known.
    let api = fixture
        .start_guarded(&[
            ("CONFAB_LIMITS__REQUESTS_PER_SECOND", "1000"),
            ("CONFAB_LIMITS__BURST", "1000"),
        ])
        .await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let kept = api.new_key(&app, &json!({})).await;
    let revoked = api.new_key(&app, &json!({})).await;
    let credentials = [
        (kept.clone(), "201"),
        (sign(&kept, &claims(&app, "bob")), "201"),
        (revoked.clone(), "401"),
        (sign(&revoked, &claims(&app, "bob")), "401"),
        (sign(&kept, &claims(&app, "alice")), "401"),
    ];
    let mut begun = Vec::new();
    for (credential, status) in &credentials {
        for chunked in [false, true] {
            let request = Begun::new(&api, &chat, credential, chunked).await;
            begun.push((request, *status, chunked));
        }
    }
    let key = format!("{app}/keys/{}", key_id(&revoked));
    api.send("DELETE", key, &[], "").await.expect_status(200);
    let revoke = format!("{app}/token/revoke");
    let alice = api.post(revoke, &json!({"user": "alice"})).await;
    alice.expect_status(200);
    sleep(PAUSE).await;
    for (request, status, chunked) in begun {
        let response = request.end().await;
        let line = response.lines().next().unwrap_or_default();
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(line.starts_with(&wanted), "{chunked} {wanted}: {response}");
        if status == "401" {
            assert!(response.contains("Credential is not valid"), "{response}");
        }
    }
}
