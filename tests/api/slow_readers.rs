//! Long pages, and clients that do not read them.

use std::{fs, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    Chat, Client, Fixture, Process, Response, apply, concurrently, eventually, eventually_eq,
    on_each_backend, on_embedded,
};

const MIB: usize = 1024 * 1024;

/// Creates messages of the maximum length in a new chat.
async fn chat_of_long_messages(api: &Client, count: u64) -> Chat {
    let chat = api.new_app_and_chat().await;
    let long = format!("hello {}", "😀".repeat(15_994));
    for number in 1..=count {
        assert_eq!(api.create_message(&chat, &long).await, number);
    }
    chat
}

/// Follows the pages of a list in one direction, checks their size, and returns their numbers.
async fn numbers(api: &Client, first: String, direction: &str, bytes: usize) -> Vec<u64> {
    let pages = api.follow(first, direction).await;
    assert!(pages.len() > 1, "{} pages", pages.len());
    let mut numbers: Vec<Vec<u64>> = Vec::new();
    for page in &pages {
        assert!(page.body.len() <= bytes, "{} bytes", page.body.len());
        numbers.push(page.numbers("messageID"));
    }
    // All but the last are as full as they can be.
    for page in &pages[..pages.len() - 1] {
        assert!(
            page.body.len() + 70_000 > bytes,
            "{} bytes",
            page.body.len()
        );
    }
    if direction == "prev" {
        numbers.reverse();
    }
    numbers.concat()
}

#[apply(on_each_backend!)]
async fn pages_are_limited_in_bytes(fixture: &Fixture) {
    const BYTES: usize = 400_000;
    const COUNT: u64 = 15;
    let size = BYTES.to_string();
    let limits = [
        ("CONFAB_LIMITS__PAGE_BYTES", &*size),
        ("CONFAB_WORKERS__ENABLED", "false"),
    ];
    let all: Vec<u64> = (1..=COUNT + 5).collect();
    let check = async |api: &Client, chat: &Chat, count: usize| {
        let list = format!("{chat}/messages?limit=1000");
        let expected = &all[..count];
        assert_eq!(numbers(api, list.clone(), "next", BYTES).await, expected);
        let newest = format!("{list}&before=now");
        assert_eq!(numbers(api, newest, "prev", BYTES).await, expected);
        // A small limit is not affected.
        let page = api.get(format!("{chat}/messages?limit=3")).await;
        assert_eq!(page.numbers("messageID"), [1, 2, 3]);
    };

    // All are queued.
    let api = fixture.start_with(&limits).await;
    let chat = chat_of_long_messages(&api, COUNT).await;
    check(&api, &chat, COUNT as usize).await;
    drop(api);

    // All are stored.
    let api = fixture.start_with(&limits[..1]).await;
    eventually_eq("all are stored", COUNT as usize, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    check(&api, &chat, COUNT as usize).await;
    eventually_eq("all are found", COUNT as usize, async || {
        let path = format!("{chat}/search?limit=100&q=hello");
        let hits = api.follow(path, "prev").await;
        let numbers = hits.iter().map(|page| page.numbers("messageID").len());
        numbers.sum()
    })
    .await;
    let search = format!("{chat}/search?limit=100&q=hello");
    let found = numbers(&api, search, "prev", BYTES).await;
    assert_eq!(found, all[..COUNT as usize]);
    drop(api);

    // Some are stored, and each of those has a queued update; the last ones are queued.
    let api = fixture.start_with(&limits).await;
    // Each of these characters takes six bytes in JSON.
    let long = format!("x{}", "\u{1}".repeat(9_999));
    for number in 1..=COUNT {
        let text = if number % 2 == 0 { "short" } else { &long };
        api.update_message(&chat, number, text).await;
    }
    for number in COUNT + 1..=COUNT + 5 {
        let text = "x".repeat(16_000);
        assert_eq!(api.create_message(&chat, &text).await, number);
    }
    let list = format!("{chat}/messages?limit=1000");
    for (first, direction) in [
        (list.clone(), "next"),
        (format!("{list}&before=now"), "prev"),
    ] {
        let mut pages = api.follow(first, direction).await;
        if direction == "prev" {
            pages.reverse();
        }
        let numbers = pages.iter().flat_map(|page| page.numbers("messageID"));
        assert_eq!(numbers.collect::<Vec<_>>(), all);
        for page in &pages {
            assert!(page.body.len() <= BYTES, "{} bytes", page.body.len());
        }
        let texts: Vec<String> = pages
            .iter()
            .flat_map(|page| page.json().as_array().cloned().unwrap_or_default())
            .map(|item| item["message"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!((&*texts[0], &*texts[1]), (&*long, "short"));
    }
}

#[apply(on_each_backend!)]
async fn default_size_of_a_page_is_2_mib(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = chat_of_long_messages(&api, 40).await;
    let list = format!("{chat}/messages?limit=1000");
    let all: Vec<u64> = (1..=40).collect();
    assert_eq!(numbers(&api, list, "next", 2 * MIB).await, all);
}

/// Sends a request for the longest page over a connection with a small receive buffer, and reads nothing.
async fn request_without_reading(port: u16, chat: &Chat) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let address = ([127, 0, 0, 1], port).into();
    let mut stream = socket.connect(address).await.expect("a connection");
    let request = format!("GET {chat}/messages?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// Requests without reading, from many clients; returns once each has a response to read.
async fn slow_readers(api: &Client, chat: &Chat, count: usize) -> Vec<TcpStream> {
    concurrently(count, |_| {
        let (port, chat) = (api.port, chat.clone());
        async move {
            let stream = request_without_reading(port, &chat).await;
            stream.peek(&mut [0]).await.expect("a response");
            stream
        }
    })
    .await
}

/// Resident memory of a process in bytes.
fn memory(process: &Process) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("a size").parse::<usize>().expect("a number") * 1024
}

/// Number of open sockets of a process.
fn sockets(process: &Process) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", process.id())).expect("a process");
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:"));
    sockets.count()
}

#[apply(on_each_backend!)]
async fn clients_that_read_nothing_hold_little_memory(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_SERVER__WRITE_TIMEOUT_MS", "600000")])
        .await;
    // 19 MiB in one page, without a limit.
    let chat = chat_of_long_messages(&api, 300).await;
    eventually_eq("all are stored", json!(300), async || {
        api.messages_count(&chat).await
    })
    .await;
    // What one page takes is not counted.
    api.get(format!("{chat}/messages?limit=1000")).await;
    let before = memory(&api);
    let slow = slow_readers(&api, &chat, 40).await;
    // Others are served in the meantime.
    for number in 1..=50 {
        let response = api.get(chat.message(number)).await;
        response.expect_status(200);
    }
    let page = api.get(format!("{chat}/messages?limit=1000")).await;
    page.expect_status(200);
    assert!(page.link("next").is_some());
    assert_eq!(api.create_message(&chat, "hello").await, 301);
    let growth = memory(&api).saturating_sub(before);
    println!("{} MiB for 40 clients", growth / MIB);
    assert!(growth < 150 * MIB, "{} MiB", growth / MIB);
    drop(slow);
}

#[apply(on_embedded!)]
async fn pages_become_shorter_before_memory_runs_out(fixture: &Fixture) {
    let api = fixture
        .start_with(&[
            ("CONFAB_LIMITS__RESPONSE_BYTES", "4194304"),
            ("CONFAB_SERVER__CLIENT_TIMEOUT_MS", "1000"),
            ("CONFAB_SERVER__WRITE_TIMEOUT_MS", "600000"),
        ])
        .await;
    let chat = chat_of_long_messages(&api, 40).await;
    let list = format!("{chat}/messages?limit=1000");
    let full = api.get(&list).await.numbers("messageID").len();
    let mut slow = slow_readers(&api, &chat, 8).await;
    let shorter = api.get(&list).await;
    shorter.expect_status(200);
    let shorter = shorter.numbers("messageID").len();
    assert!((1..full).contains(&shorter), "{shorter} of {full}");
    // At last no memory is left.
    let rejected = eventually("no memory is left", async || {
        slow.extend(slow_readers(&api, &chat, 4).await);
        let response = api.get(&list).await;
        if response.status == 503 {
            Ok(response)
        } else {
            Err(response.status)
        }
    })
    .await;
    rejected.expect_error(503, "Try again shortly: too many responses are under way");
    // What needs little memory is still served.
    api.get(&chat).await.expect_status(200);
    assert_eq!(api.create_message(&chat, "hello").await, 41);
    api.get(chat.message(41)).await.expect_status(200);
    drop(slow);
    eventually_eq("the memory is free again", full, async || {
        let response = api.get(&list).await;
        match response.status {
            200 => response.numbers("messageID").len(),
            _ => 0,
        }
    })
    .await;
}

#[apply(on_embedded!)]
async fn clients_that_read_nothing_are_disconnected(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_SERVER__WRITE_TIMEOUT_MS", "3000")])
        .await;
    let chat = chat_of_long_messages(&api, 40).await;
    let before = sockets(&api);
    // One client reads slowly, but reads: it is served to the end, though that takes longer than the time limit. Its
    // response begins before the others, because pages are shorter while memory is scarce.
    let mut steady = request_without_reading(api.port, &chat).await;
    let mut received = Vec::new();
    let head = loop {
        let mut piece = [0; 65_536];
        let length = steady.read(&mut piece).await.expect("not disconnected");
        assert!(length > 0, "disconnected after {} bytes", received.len());
        received.extend_from_slice(&piece[..length]);
        let head = received.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(head) = head {
            break head;
        }
    };
    let text = String::from_utf8_lossy(&received[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse::<usize>().ok())
        .expect("a length");
    assert!(length > MIB, "{length}");
    let steady = tokio::spawn(async move {
        while received.len() < head + 4 + length {
            let mut piece = [0; 65_536];
            let read = steady.read(&mut piece).await.expect("not disconnected");
            assert!(read > 0, "disconnected after {} bytes", received.len());
            received.extend_from_slice(&piece[..read]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let slow = slow_readers(&api, &chat, 40).await;
    steady.await.expect("it is served to the end");
    eventually("all others are disconnected", async || {
        let open = sockets(&api);
        if open <= before { Ok(()) } else { Err(open) }
    })
    .await;
    for mut stream in slow {
        let mut rest = Vec::new();
        // The end of the connection, or its reset.
        stream.read_to_end(&mut rest).await.ok();
        assert!(rest.len() < length, "{} of {length} bytes", rest.len());
    }
    let response: Response = api.get(chat.message(1)).await;
    response.expect_status(200);
}
