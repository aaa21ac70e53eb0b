//! How the process ends when it is told to.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Chat, Client, Process, Site, eventually, on_each_backing, settles};

/// A lease that is not over before the test is: what is stored after the process was released by it.
const LONG_LEASE: (&str, &str) = ("CONFAB_WORKERS__LEASE_MS", "600000");

/// Waits until the process has ended; gives its exit code.
pub async fn exit_code(process: &mut Process) -> Option<i32> {
    eventually("the process ends", async || {
        process.ended().ok_or("it is still there")
    })
    .await
    .code()
}

/// Writes until it is turned away; gives how many messages were answered with success.
async fn write_until_the_end(api: Client, chat: Chat) -> u64 {
    let mut answered = 0;
    loop {
        let body = json!({"message": "hello"});
        match api.try_post(format!("{chat}/message"), &body).await {
            Ok(answer) => answer.expect_status(201),
            Err(_) => return answered,
        }
        answered += 1;
    }
}

async fn a_signal_ends_it_in_order_and_loses_nothing(site: &Site) {
    let mut api = site.start_with(&[LONG_LEASE]).await;
    let chats = [api.new_app_and_chat().await, api.new_app_and_chat().await];
    let writers: Vec<_> = (0..6)
        .map(|n| write_until_the_end(api.client(), chats[n % 2].clone()))
        .map(tokio::spawn)
        .collect();
    settles("there is load", true, async || {
        let messages = "SELECT COUNT(*) FROM messages";
        site.stored_number(messages).await > Some(100)
    })
    .await;
    assert_eq!(api.get("/readyz").await.status, 200);
    api.signal("TERM");
    // While its port is still open, a load balancer is told.
    eventually("readiness says so", async || {
        let answer = api.get("/readyz").await;
        if answer.status == 503 && answer.json()["status"] == "ending" {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    assert_eq!(exit_code(&mut api).await, Some(0));
    let mut answered = 0;
    for writer in writers {
        answered += writer.await.expect("what was answered was right");
    }

    // No lease is left to wait for.
    let stats = site.confab(&["jobs", "stats", "--json"]).await;
    let told: Value = serde_json::from_str(&stats.stdout).expect("one JSON object");
    let mut kinds = told["kinds"].as_array().expect("a list").iter();
    assert!(kinds.all(|kind| kind["leased"] == 0), "{told:#}");
    let api = site.start().await;
    settles("everything is stored", Some(answered as i64), async || {
        site.stored_number("SELECT COUNT(*) FROM messages").await
    })
    .await;
    for chat in &chats {
        let pages = api.follow(format!("{chat}/messages?limit=1000"), "next");
        let pages = pages.await;
        let numbers = pages.iter().flat_map(|page| page.numbers("messageID"));
        assert!(numbers.eq(1..=api.say(chat, "the next").await - 1));
    }
}

async fn requests_in_hand_are_answered(site: &Site) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut api = site.start().await;
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
    eventually("nobody new is let in", async || {
        match api.try_get("/up").await {
            Ok(answer) => Err(answer),
            Err(_) => Ok(()),
        }
    })
    .await;
    stream.write_all(b"age\":\"bye\"}  ").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(exit_code(&mut api).await, Some(0));
    let api = site.start().await;
    assert_eq!(api.text(&chat, 1).await, "bye");
}

async fn who_does_not_finish_is_not_waited_for_longer_than_configured(site: &Site) {
    let settings = [("CONFAB_SERVER__SHUTDOWN_TIMEOUT_MS", "1500")];
    let mut api = site.start_with(&settings).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("a connection");
    let head = "POST /application HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .expect("sent");
    let told = Instant::now();
    api.signal("INT");
    assert_eq!(exit_code(&mut api).await, Some(0));
    let took = told.elapsed();
    assert!(took >= Duration::from_millis(1400), "{took:?}");
}

on_each_backing!(
    a_signal_ends_it_in_order_and_loses_nothing,
    requests_in_hand_are_answered,
    who_does_not_finish_is_not_waited_for_longer_than_configured,
);
