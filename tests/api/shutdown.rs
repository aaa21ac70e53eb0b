//! Graceful shutdown.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Chat, Client, Fixture, Process, apply, eventually, eventually_eq, on_each_backend,
};

/// A lease longer than the test: jobs stored after the process were released by it.
const LONG_LEASE: (&str, &str) = ("CONFAB_WORKERS__LEASE_MS", "600000");

/// Waits for the end of the process and returns its exit code.
pub async fn exit_code(process: &mut Process) -> Option<i32> {
    eventually("the process ends", async || {
        process.ended().ok_or("it is still there")
    })
    .await
    .code()
}

/// Writes until it is rejected; returns the number of acknowledged messages.
async fn write_until_the_end(api: Client, chat: Chat) -> u64 {
    let mut answered = 0;
    loop {
        let body = json!({"message": "hello"});
        match api.try_post(format!("{chat}/message"), &body).await {
            Ok(response) => response.expect_status(201),
            Err(_) => return answered,
        }
        answered += 1;
    }
}

#[apply(on_each_backend!)]
async fn signals_shut_down_gracefully_and_lose_nothing(fixture: &Fixture) {
    let mut api = fixture.start_with(&[LONG_LEASE]).await;
    let chats = [api.new_app_and_chat().await, api.new_app_and_chat().await];
    let writers: Vec<_> = (0..6)
        .map(|n| write_until_the_end(api.client(), chats[n % 2].clone()))
        .map(tokio::spawn)
        .collect();
    eventually_eq("there is load", true, async || {
        let messages = "SELECT COUNT(*) FROM messages";
        fixture.stored_number(messages).await > Some(100)
    })
    .await;
    assert_eq!(api.get("/readyz").await.status, 200);
    api.signal("TERM");
    // A load balancer is told while the port is still open.
    eventually("readiness reports it", async || {
        let response = api.get("/readyz").await;
        if response.status == 503 && response.json()["status"] == "ending" {
            Ok(())
        } else {
            Err(response)
        }
    })
    .await;
    assert_eq!(exit_code(&mut api).await, Some(0));
    let mut answered = 0;
    for writer in writers {
        answered += writer.await.expect("all responses were correct");
    }

    // No lease is left.
    let stats = fixture.confab(&["jobs", "stats", "--json"]).await;
    let stats_json: Value = serde_json::from_str(&stats.stdout).expect("one JSON object");
    let mut kinds = stats_json["kinds"].as_array().expect("a list").iter();
    assert!(kinds.all(|kind| kind["leased"] == 0), "{stats_json:#}");
    let api = fixture.start().await;
    eventually_eq("everything is stored", Some(answered as i64), async || {
        fixture.stored_number("SELECT COUNT(*) FROM messages").await
    })
    .await;
    for chat in &chats {
        let pages = api.follow(format!("{chat}/messages?limit=1000"), "next");
        let pages = pages.await;
        let numbers = pages.iter().flat_map(|page| page.numbers("messageID"));
        assert!(numbers.eq(1..=api.create_message(chat, "the next").await - 1));
    }
}

#[apply(on_each_backend!)]
async fn requests_in_flight_are_answered_during_shutdown(fixture: &Fixture) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("a connection");
    let head = format!(
        "POST {chat}/message HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 19\r\n\r\n{{\"mess"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    api.signal("TERM");
    // The port is closed by now.
    eventually("new connections are refused", async || {
        match api.try_get("/up").await {
            Ok(response) => Err(response),
            Err(_) => Ok(()),
        }
    })
    .await;
    stream.write_all(b"age\":\"bye\"}  ").await.expect("sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("a response");
    assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    assert_eq!(exit_code(&mut api).await, Some(0));
    let api = fixture.start().await;
    assert_eq!(api.text(&chat, 1).await, "bye");
}

#[apply(on_each_backend!)]
async fn shutdown_waits_no_longer_than_the_configured_timeout(fixture: &Fixture) {
    let settings = [("CONFAB_SERVER__SHUTDOWN_TIMEOUT_MS", "1500")];
    let mut api = fixture.start_with(&settings).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("a connection");
    let head = "POST /application HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .expect("sent");
    let signalled = Instant::now();
    api.signal("INT");
    assert_eq!(exit_code(&mut api).await, Some(0));
    let took = signalled.elapsed();
    assert!(took >= Duration::from_millis(1400), "{took:?}");
}

/// Starts the program with SIGHUP ignored or not, whatever this process inherited.
async fn start_with_hangup(fixture: &Fixture, option: &str) -> Process {
    let settings = [("CONFAB_LOG__LEVEL", "info")];
    let mut api = fixture.launch_wrapped(&["env", option], &["serve"], &settings);
    assert!(api.wait_until_up().await, "{}", api.output());
    api.wait_until_ready().await;
    api
}

#[apply(on_each_backend!)]
async fn hangup_shuts_down_gracefully(fixture: &Fixture) {
    let mut api = start_with_hangup(fixture, "--default-signal=HUP").await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "before the terminal is closed")
        .await;
    api.signal("HUP");
    assert_eq!(exit_code(&mut api).await, Some(0));
    let output = api.output();
    assert!(output.contains("Shutdown complete"), "{output}");
    let api = fixture.start().await;
    assert_eq!(api.text(&chat, 1).await, "before the terminal is closed");
}

#[apply(on_each_backend!)]
async fn hangup_stays_ignored_under_nohup(fixture: &Fixture) {
    let mut api = start_with_hangup(fixture, "--ignore-signal=HUP").await;
    api.signal("HUP");
    // A second signal would end it with code 1.
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "after the terminal is closed")
        .await;
    assert_eq!(api.get("/readyz").await.status, 200);
    api.signal("TERM");
    assert_eq!(exit_code(&mut api).await, Some(0));
}
