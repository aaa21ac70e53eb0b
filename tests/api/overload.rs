//! Rejecting more than the queue may hold, without keeping any of it.

use std::time::Duration;

use deadpool_redis::redis;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

use crate::{
    readiness::{entry_named, wait_for_readiness},
    support::{
        Client, DedicatedRedis, Fixture, TIMEOUT, apply, eventually, eventually_eq,
        on_each_backend, on_embedded, on_services,
    },
};

#[apply(on_each_backend!)]
async fn writes_over_the_queue_depth_return_503_and_change_nothing(fixture: &Fixture) {
    const FULL: &str = "Try again shortly: the queue is full";
    const DEPTH: u64 = 10;
    let api = fixture
        .start_with(&[
            ("CONFAB_WORKERS__ENABLED", "false"),
            ("CONFAB_LIMITS__QUEUE_DEPTH", "10"),
        ])
        .await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    // These are two jobs; one of the messages is an update.
    for number in 1..=DEPTH - 3 {
        assert_eq!(api.create_message(&chat, "there is room").await, number);
    }
    api.update_message(&chat, 1, "changed").await;

    let paths = [
        app.to_string(),
        format!("{app}/chats"),
        chat.to_string(),
        format!("{chat}/messages"),
        chat.message(1),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(api.get(path).await.body);
    }
    let (username, message) = (
        json!({"username": "one more"}),
        json!({"message": "one more"}),
    );
    for _ in 0..3 {
        api.post("/application", &username)
            .await
            .expect_error(503, FULL);
        for path in ["chat", "chats"] {
            let response = api.send("POST", format!("{app}/{path}"), &[], "").await;
            response.expect_error(503, FULL);
        }
        api.post(format!("{chat}/message"), &message)
            .await
            .expect_error(503, FULL);
        api.put(chat.message(2), &message)
            .await
            .expect_error(503, FULL);
    }
    let readiness = wait_for_readiness(&api, 503, "unavailable").await;
    let queue = entry_named(&readiness, "stores", "queue");
    assert!(queue["error"].to_string().contains("full"), "{readiness:#}");
    // Validation errors still differ from overload.
    api.post(format!("{chat}/message"), &json!({}))
        .await
        .expect_error(400, "Message is required");
    for (path, before) in paths.iter().zip(&before) {
        let response = api.get(path).await;
        response.expect(200, before);
    }
    drop(api);

    // When workers have freed capacity, numbers continue without a gap.
    let api = fixture
        .start_with(&[("CONFAB_LIMITS__QUEUE_DEPTH", "10")])
        .await;
    eventually_eq("all is stored", json!(DEPTH - 3), async || {
        api.messages_count(&chat).await
    })
    .await;
    eventually_eq("there is capacity again", 201, async || {
        api.post("/application", &username).await.status
    })
    .await;
    assert_eq!(api.new_chat(&app).await.number, 2);
    assert_eq!(
        api.create_message(&chat, "there is capacity again").await,
        DEPTH - 2
    );
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "2");
    assert_eq!(api.text(&chat, 2).await, "there is room");
}

#[apply(on_services!)]
async fn redis_out_of_memory_rejects_writes_and_still_drains(fixture: &Fixture) {
    const FULL: &str = "Try again shortly: the queue is full";
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let redis = DedicatedRedis::start(fixture, &durable).await;
    let settings = [("CONFAB_SERVICES__REDIS_URL", redis.url.as_str())];
    let idle = [settings.as_slice(), &[("CONFAB_WORKERS__ENABLED", "false")]].concat();
    let api = fixture.start_with(&idle).await;
    let chat = api.new_app_and_chat().await;
    let memory = async |bytes: u32| {
        let client = redis::Client::open(redis.url.as_str()).expect("a URL");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        let () = redis::cmd("CONFIG")
            .arg(&["SET", "maxmemory"])
            .arg(bytes)
            .query_async(&mut connection)
            .await
            .expect("set");
    };
    for number in 1..=50 {
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    memory(100_000).await;
    let message = json!({"message": "one more"});
    for path in [
        format!("{chat}/message"),
        format!("/application/{}/chat", chat.app),
    ] {
        api.post(path, &message).await.expect_error(503, FULL);
    }
    api.put(chat.message(1), &message)
        .await
        .expect_error(503, FULL);
    assert_eq!(api.text(&chat, 50).await, "hello");
    let readiness = wait_for_readiness(&api, 503, "unavailable").await;
    let queue = entry_named(&readiness, "stores", "queue");
    assert!(
        queue["error"].to_string().contains("memory"),
        "{readiness:#}"
    );
    drop(api);

    let api = fixture.spawn(&settings).await;
    eventually_eq("what was accepted is stored", json!(50), async || {
        api.messages_count(&chat).await
    })
    .await;
    memory(0).await;
    eventually_eq("writes are accepted again", 201, async || {
        let response = api.post(format!("{chat}/message"), &message).await;
        response.status
    })
    .await;
    eventually_eq("without a gap", "one more".to_owned(), async || {
        api.text(&chat, 51).await
    })
    .await;
}

/// Sends a piece repeatedly until the connection ends; `received` receives the response.
async fn send_repeatedly(
    api: Client,
    head: String,
    piece: String,
    pause: Duration,
    received: watch::Sender<String>,
) {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (mut reading, mut writing) = stream.into_split();
    let senders = async {
        while writing.write_all(piece.as_bytes()).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    };
    let receiver = async {
        let mut some = [0; 4096];
        while let Ok(length @ 1..) = reading.read(&mut some).await {
            received.send_modify(|all| all.push_str(&String::from_utf8_lossy(&some[..length])));
        }
    };
    tokio::join!(senders, receiver);
    received.send_modify(|all| all.push_str("THE END"));
}

#[apply(on_each_backend!)]
async fn requests_that_never_complete_time_out(fixture: &Fixture) {
    const SLOW: Duration = Duration::from_millis(50);
    const FAST: Duration = Duration::ZERO;
    let api = fixture
        .start_with(&[("CONFAB_SERVER__CLIENT_TIMEOUT_MS", "1000")])
        .await;
    let post = "POST /application HTTP/1.1\r\nHost: localhost\r\n";
    let sized = format!("{post}Content-Length: 200000\r\n\r\n");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    let header = format!("X-Endless: {}\r\n", "x".repeat(1000));
    let too_slow = r#"408 {"error":"Body took too long to arrive"}"#;
    let too_long = r#"413 {"error":"Body must be at most 262144 bytes"}"#;
    let mut received = Vec::new();
    let mut senders = JoinSet::new();
    for (head, piece, pause, expected) in [
        (post, "x", SLOW, "408 THE END"),
        (&*sized, " ", SLOW, too_slow),
        (&chunked, "1\r\n \r\n", SLOW, too_slow),
        (post, &header, FAST, "431 THE END"),
        (&chunked, &chunk, FAST, too_long),
    ] {
        let (sender, receiver) = watch::channel(String::new());
        received.push((receiver, expected));
        senders.spawn(send_repeatedly(
            api.client(),
            head.into(),
            piece.into(),
            pause,
            sender,
        ));
    }
    // Other requests are served in the meantime.
    let chat = api.new_app_and_chat().await;
    for number in 1..=50 {
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    for (mut received, expected) in received {
        let (status, last) = expected.split_once(' ').expect("two parts");
        // The reset after the end of a connection may overtake the response.
        let is_complete = |all: &String| {
            all == "THE END" || all.starts_with(&format!("HTTP/1.1 {status}")) && all.contains(last)
        };
        let all = tokio::time::timeout(TIMEOUT, received.wait_for(is_complete)).await;
        assert!(all.is_ok_and(|all| all.is_ok()), "{expected}");
    }
    assert_eq!(api.create_message(&chat, "hello").await, 51);
}

#[apply(on_embedded!)]
async fn requests_are_served_beside_10000_idle_connections(fixture: &Fixture) {
    const IDLE: usize = 10_000;
    rlimit::increase_nofile_limit(u64::MAX).expect("more open files");
    let api = fixture
        .start_with(&[("CONFAB_SERVER__CLIENT_TIMEOUT_MS", "600000")])
        .await;
    let chat = api.new_app_and_chat().await;
    let mut idle = Vec::with_capacity(IDLE);
    while idle.len() < IDLE {
        idle.push(
            TcpStream::connect(("127.0.0.1", api.port))
                .await
                .expect("a connection"),
        );
    }
    // Half of them have sent a part of a request.
    for stream in idle.iter_mut().step_by(2) {
        stream.write_all(b"GET /up HT").await.expect("sent");
    }
    for number in 1..=100 {
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    eventually_eq("all is stored", json!(100), async || {
        api.messages_count(&chat).await
    })
    .await;
    let open = eventually("all connections are accepted", async || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", api.id()))
            .expect("a process")
            .count();
        if open > IDLE { Ok(open) } else { Err(open) }
    })
    .await;
    assert!(open < IDLE + 200, "{open} open files");
}

// Only on one backend: the stores are not involved, and memory does not suffice for two runs.
