//! Numbers have no gap and no double, whatever runs at once.

use serde_json::json;

use crate::support::{Site, eventually, on_each_backing, settles, together};

const CLIENTS: usize = 20;

async fn chats_created_by_twenty_clients_at_once_have_gapless_numbers(site: &Site) {
    const EACH: usize = 10;
    let processes = site.start_all().await;
    let app = processes[0].new_app().await;
    let mut numbers = together(CLIENTS, |client| {
        let api = processes[client % processes.len()].client();
        let app = app.clone();
        async move {
            let mut numbers = Vec::new();
            for _ in 0..EACH {
                numbers.push(api.new_chat(&app).await.number);
            }
            assert!(numbers.is_sorted(), "{numbers:?}");
            numbers
        }
    })
    .await
    .concat();
    numbers.sort_unstable();
    let all: Vec<u64> = (1..=(CLIENTS * EACH) as u64).collect();
    assert_eq!(numbers, all);
    for process in &processes {
        let list = process.get(format!("{app}/chats?limit=1000")).await;
        assert_eq!(list.numbers("chatID"), all);
    }
}

async fn messages_created_by_twenty_clients_at_once_have_gapless_numbers(site: &Site) {
    const EACH: usize = 25;
    let processes = site.start_all().await;
    let app = processes[0].new_app().await;
    let chats = [
        processes[0].new_chat(&app).await,
        processes[0].new_chat(&app).await,
    ];
    let said = together(CLIENTS, |client| {
        let api = processes[client % processes.len()].client();
        let chats = chats.clone();
        async move {
            let mut said = Vec::new();
            for turn in 0..EACH {
                let text = format!("turn {turn} of client {client}");
                for chat in &chats {
                    said.push((chat.number, api.say(chat, &text).await, text.clone()));
                }
            }
            said
        }
    })
    .await
    .concat();

    for chat in &chats {
        let mut expected: Vec<_> = said
            .iter()
            .filter(|(number, ..)| *number == chat.number)
            .map(|(_, number, text)| (*number, text.clone()))
            .collect();
        expected.sort_unstable();
        let numbers: Vec<_> = expected.iter().map(|(number, _)| *number).collect();
        let all: Vec<u64> = (1..=(CLIENTS * EACH) as u64).collect();
        assert_eq!(numbers, all);

        // Each number stands for the text that it was given for: in the list at once, in the end in the rows.
        for process in &processes {
            let list = process.get(format!("{chat}/messages?limit=1000")).await;
            let items = list.json();
            for (item, (number, text)) in items.as_array().expect("a list").iter().zip(&expected) {
                assert_eq!(item["messageID"], *number);
                assert_eq!(item["message"], **text);
            }
            assert_eq!(list.numbers("messageID"), all);
        }
        settles("the stored messages", expected, async || {
            site.stored_messages(chat).await
        })
        .await;
        settles("the count", json!(CLIENTS * EACH), async || {
            processes[0].messages_count(chat).await
        })
        .await;
    }
}

async fn processes_started_at_once_on_empty_stores_do_not_collide(site: &Site) {
    // Twice as many as the other tests use; where one file is for one process, that is still one.
    let count = match site.processes() {
        1 => 1,
        more => 2 * more,
    };
    let mut processes = Vec::new();
    // Each has its own threads from the moment it is spawned: they migrate while the next ones start.
    for _ in 0..count {
        processes.push(site.launch(&["serve"], &[]));
    }
    for process in &mut processes {
        assert!(process.comes_up().await, "{}", process.output());
    }
    for process in &processes {
        process.ready().await;
    }
    let chat = processes[0].new_app_and_chat().await;
    for (number, process) in (1..).zip(&processes) {
        assert_eq!(process.say(&chat, "everybody is here").await, number);
    }
    let all: Vec<u64> = (1..=count as u64).collect();
    eventually("search finds what each of them took", async || {
        let found = processes[count - 1].found(&chat, "everybody").await;
        if found == all { Ok(()) } else { Err(found) }
    })
    .await;
    // None of them has given up meanwhile.
    for process in &processes {
        process.get("/up").await.expect_status(200);
    }
}

on_each_backing!(
    chats_created_by_twenty_clients_at_once_have_gapless_numbers,
    messages_created_by_twenty_clients_at_once_have_gapless_numbers,
    processes_started_at_once_on_empty_stores_do_not_collide,
);
