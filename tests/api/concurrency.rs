//! Numbers have no gaps and no duplicates under concurrency.

use serde_json::json;

use crate::support::{
    Fixture, Server, apply, concurrently, eventually, eventually_eq, on_each_backend,
    on_each_server,
};

const CLIENTS: usize = 20;

#[apply(on_each_server!)]
async fn chats_created_by_20_concurrent_clients_are_numbered_without_gaps(server: &Server) {
    const EACH: usize = 10;
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let mut numbers = concurrently(CLIENTS, |client| {
        let api = clients[client % clients.len()].clone();
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
    for process in &clients {
        let list = process.get(format!("{app}/chats?limit=1000")).await;
        assert_eq!(list.numbers("chatID"), all);
    }
}

#[apply(on_each_server!)]
async fn messages_created_by_20_concurrent_clients_are_numbered_without_gaps(server: &Server) {
    const EACH: usize = 25;
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let chats = [
        clients[0].new_chat(&app).await,
        clients[0].new_chat(&app).await,
    ];
    let said = concurrently(CLIENTS, |client| {
        let api = clients[client % clients.len()].clone();
        let chats = chats.clone();
        async move {
            let mut said = Vec::new();
            for turn in 0..EACH {
                let text = format!("turn {turn} of client {client}");
                for chat in &chats {
                    said.push((
                        chat.number,
                        api.create_message(chat, &text).await,
                        text.clone(),
                    ));
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

        // Each number belongs to the text it was returned for: in the list immediately, later in the rows.
        for process in &clients {
            let list = process.get(format!("{chat}/messages?limit=1000")).await;
            let items = list.json();
            for (item, (number, text)) in items.as_array().expect("a list").iter().zip(&expected) {
                assert_eq!(item["messageID"], *number);
                assert_eq!(item["message"], **text);
            }
            assert_eq!(list.numbers("messageID"), all);
        }
        eventually_eq("the stored messages", expected, async || {
            server.stores().stored_messages(chat).await
        })
        .await;
        eventually_eq("the count", json!(CLIENTS * EACH), async || {
            clients[0].messages_count(chat).await
        })
        .await;
    }
}

#[apply(on_each_backend!)]
async fn processes_started_concurrently_on_empty_stores_all_serve(fixture: &Fixture) {
    // Twice as many processes as in other tests; still one where a file allows only one.
    let count = match fixture.process_count() {
        1 => 1,
        more => 2 * more,
    };
    let mut processes = Vec::new();
    // Each process has its own threads, so they migrate while the next ones start.
    for _ in 0..count {
        processes.push(fixture.launch(&["serve"], &[]));
    }
    for process in &mut processes {
        assert!(process.wait_until_up().await, "{}", process.output());
    }
    for process in &processes {
        process.wait_until_ready().await;
    }
    let chat = processes[0].new_app_and_chat().await;
    for (number, process) in (1..).zip(&processes) {
        assert_eq!(
            process.create_message(&chat, "everybody is here").await,
            number
        );
    }
    let all: Vec<u64> = (1..=count as u64).collect();
    eventually("search finds what each of them took", async || {
        let found = processes[count - 1]
            .search_numbers(&chat, "everybody")
            .await;
        if found == all { Ok(()) } else { Err(found) }
    })
    .await;
    // None of them has exited.
    for process in &processes {
        process.get("/up").await.expect_status(200);
    }
}
