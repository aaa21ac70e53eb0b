//! More than the queue may hold is turned away, and nothing of it is kept.

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
    readiness::{becomes, named},
    support::{
        Client, OwnRedis, PATIENCE, Site, eventually, on_each_backing, on_embedded, on_services,
        settles,
    },
};

async fn beyond_the_queue_depth_writes_are_a_503_and_change_nothing(site: &Site) {
    const FULL: &str = "Try again shortly: the queue is full";
    const DEPTH: u64 = 10;
    let api = site
        .start_with(&[
            ("CONFAB_WORKERS__ENABLED", "false"),
            ("CONFAB_LIMITS__QUEUE_DEPTH", "10"),
        ])
        .await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    // These are two; one of the messages is an update.
    for number in 1..=DEPTH - 3 {
        assert_eq!(api.say(&chat, "there is room").await, number);
    }
    api.change(&chat, 1, "changed").await;

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
            let answer = api.send("POST", format!("{app}/{path}"), &[], "").await;
            answer.expect_error(503, FULL);
        }
        api.post(format!("{chat}/message"), &message)
            .await
            .expect_error(503, FULL);
        api.put(chat.message(2), &message)
            .await
            .expect_error(503, FULL);
    }
    let told = becomes(&api, 503, "unavailable").await;
    let queue = named(&told, "stores", "queue");
    assert!(queue["error"].to_string().contains("full"), "{told:#}");
    // What is wrong is still told apart from what is too much.
    api.post(format!("{chat}/message"), &json!({}))
        .await
        .expect_error(400, "Message is required");
    for (path, before) in paths.iter().zip(&before) {
        let answer = api.get(path).await;
        answer.expect(200, before);
    }
    drop(api);

    // Once workers have made room, numbers go on where they were.
    let api = site
        .start_with(&[("CONFAB_LIMITS__QUEUE_DEPTH", "10")])
        .await;
    settles("all is stored", json!(DEPTH - 3), async || {
        api.messages_count(&chat).await
    })
    .await;
    settles("there is room again", 201, async || {
        api.post("/application", &username).await.status
    })
    .await;
    assert_eq!(api.new_chat(&app).await.number, 2);
    assert_eq!(api.say(&chat, "there is room again").await, DEPTH - 2);
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "2");
    assert_eq!(api.text(&chat, 2).await, "there is room");
}

async fn a_redis_that_is_out_of_memory_takes_no_writes_and_is_drained(site: &Site) {
    const FULL: &str = "Try again shortly: the queue is full";
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let redis = OwnRedis::start(site, &durable).await;
    let settings = [("CONFAB_SERVICES__REDIS_URL", redis.url.as_str())];
    let idle = [settings.as_slice(), &[("CONFAB_WORKERS__ENABLED", "false")]].concat();
    let api = site.start_with(&idle).await;
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
        assert_eq!(api.say(&chat, "hello").await, number);
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
    let told = becomes(&api, 503, "unavailable").await;
    let queue = named(&told, "stores", "queue");
    assert!(queue["error"].to_string().contains("memory"), "{told:#}");
    drop(api);

    let api = site.spawn(&settings).await;
    settles("what was accepted is stored", json!(50), async || {
        api.messages_count(&chat).await
    })
    .await;
    memory(0).await;
    settles("writes are taken again", 201, async || {
        let answer = api.post(format!("{chat}/message"), &message).await;
        answer.status
    })
    .await;
    settles("without a gap", "one more".to_owned(), async || {
        api.text(&chat, 51).await
    })
    .await;
}

/// Sends a piece again and again, for as long as it is let to; `heard` gets what is answered.
async fn drip(
    api: Client,
    head: String,
    piece: String,
    pause: Duration,
    heard: watch::Sender<String>,
) {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port))
        .await
        .expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (mut reading, mut writing) = stream.into_split();
    let dripping = async {
        while writing.write_all(piece.as_bytes()).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    };
    let hearing = async {
        let mut some = [0; 4096];
        while let Ok(length @ 1..) = reading.read(&mut some).await {
            heard.send_modify(|all| all.push_str(&String::from_utf8_lossy(&some[..length])));
        }
    };
    tokio::join!(dripping, hearing);
    heard.send_modify(|all| all.push_str("THE END"));
}

async fn clients_that_never_come_to_an_end_are_turned_away(site: &Site) {
    const SLOW: Duration = Duration::from_millis(50);
    const FAST: Duration = Duration::ZERO;
    let api = site
        .start_with(&[("CONFAB_SERVER__CLIENT_TIMEOUT_MS", "1000")])
        .await;
    let post = "POST /application HTTP/1.1\r\nHost: localhost\r\n";
    let sized = format!("{post}Content-Length: 200000\r\n\r\n");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    let header = format!("X-Endless: {}\r\n", "x".repeat(1000));
    let too_slow = r#"408 {"error":"Body took too long to arrive"}"#;
    let too_long = r#"413 {"error":"Body must be at most 262144 bytes"}"#;
    let mut heard = Vec::new();
    let mut dripping = JoinSet::new();
    for (head, piece, pause, expected) in [
        (post, "x", SLOW, "408 THE END"),
        (&*sized, " ", SLOW, too_slow),
        (&chunked, "1\r\n \r\n", SLOW, too_slow),
        (post, &header, FAST, "431 THE END"),
        (&chunked, &chunk, FAST, too_long),
    ] {
        let (sender, receiver) = watch::channel(String::new());
        heard.push((receiver, expected));
        dripping.spawn(drip(api.client(), head.into(), piece.into(), pause, sender));
    }
    // Meanwhile others are served.
    let chat = api.new_app_and_chat().await;
    for number in 1..=50 {
        assert_eq!(api.say(&chat, "hello").await, number);
    }
    for (mut heard, expected) in heard {
        let (status, last) = expected.split_once(' ').expect("two parts");
        // The reset that follows the end of a connection may overtake the answer.
        let told = |all: &String| {
            all == "THE END" || all.starts_with(&format!("HTTP/1.1 {status}")) && all.contains(last)
        };
        let all = tokio::time::timeout(PATIENCE, heard.wait_for(told)).await;
        assert!(all.is_ok_and(|all| all.is_ok()), "{expected}");
    }
    assert_eq!(api.say(&chat, "hello").await, 51);
}

async fn ten_thousand_idle_connections_leave_it_answering(site: &Site) {
    const IDLE: usize = 10_000;
    rlimit::increase_nofile_limit(u64::MAX).expect("more open files");
    let api = site
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
    // Half of them have begun to say something.
    for stream in idle.iter_mut().step_by(2) {
        stream.write_all(b"GET /up HT").await.expect("sent");
    }
    for number in 1..=100 {
        assert_eq!(api.say(&chat, "hello").await, number);
    }
    settles("all is stored", json!(100), async || {
        api.messages_count(&chat).await
    })
    .await;
    let open = eventually("they are all let in", async || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", api.id()))
            .expect("a process")
            .count();
        if open > IDLE { Ok(open) } else { Err(open) }
    })
    .await;
    assert!(open < IDLE + 200, "{open} open files");
}

on_each_backing!(
    beyond_the_queue_depth_writes_are_a_503_and_change_nothing,
    clients_that_never_come_to_an_end_are_turned_away,
);

on_services!(a_redis_that_is_out_of_memory_takes_no_writes_and_is_drained);

// The stores have no part in it, and one machine no room for it twice.
on_embedded!(ten_thousand_idle_connections_leave_it_answering);
