//! Paged lists of messages and chats.

use serde_json::{Value, json};

use crate::support::{
    App, Chat, Client, Fixture, Process, Response, Server, apply, check_time, concurrently,
    eventually_eq, on_each_backend, on_each_server,
};

const WORKERS_OFF: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

/// A list, and the field that numbers its items.
struct List {
    path: String,
    number: &'static str,
}

impl List {
    fn of_messages(chat: &Chat) -> Self {
        Self {
            path: format!("{chat}/messages"),
            number: "messageID",
        }
    }

    fn of_chats(app: &App) -> Self {
        Self {
            path: format!("{app}/chats"),
            number: "chatID",
        }
    }

    fn numbers(&self, page: &Response) -> Vec<u64> {
        page.expect_status(200);
        page.numbers(self.number)
    }
}

/// Creates an application of `count` chats, the first of which has `count` messages.
async fn filled(api: &Client, count: u64) -> (App, Chat) {
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    for number in 1..=count {
        if number > 1 {
            assert_eq!(api.new_chat(&app).await.number, number);
        }
        assert_eq!(
            api.create_message(&chat, &format!("number {number}")).await,
            number
        );
    }
    (app, chat)
}

/// A process without workers, and lists of ten chats and ten messages: all stored, half stored and half pending, and
/// all pending. Each message 2 has a pending update.
async fn lists_in_every_state(fixture: &Fixture) -> (Process, Vec<List>) {
    let api = fixture.start().await;
    let (stored_app, stored_chat) = filled(&api, 10).await;
    let (mixed_app, mixed_chat) = filled(&api, 5).await;
    let all_stored = format!(
        "(SELECT COUNT(*) FROM chats WHERE app IN ('{0}', '{1}')) + \
         (SELECT COUNT(*) FROM messages WHERE app IN ('{0}', '{1}'))",
        stored_app.id, mixed_app.id
    );
    eventually_eq("all is stored", Some(30), async || {
        fixture.stored_number(&all_stored).await
    })
    .await;
    drop(api);

    let api = fixture.start_with(&[WORKERS_OFF]).await;
    let (pending_app, pending_chat) = filled(&api, 10).await;
    for number in 6..=10 {
        assert_eq!(api.new_chat(&mixed_app).await.number, number);
        let text = format!("number {number}");
        assert_eq!(api.create_message(&mixed_chat, &text).await, number);
    }
    let mut lists = Vec::new();
    for (app, chat) in [
        (stored_app, stored_chat),
        (mixed_app, mixed_chat),
        (pending_app, pending_chat),
    ] {
        api.update_message(&chat, 2, "number two").await;
        lists.push(List::of_messages(&chat));
        lists.push(List::of_chats(&app));
    }
    (api, lists)
}

#[apply(on_each_backend!)]
async fn limit_after_and_before_select_a_page(fixture: &Fixture) {
    let (api, lists) = lists_in_every_state(fixture).await;
    // The query, the numbers on the page, and whether there is a previous and a next page.
    let pages: [(&str, &[u64], bool, bool); 27] = [
        ("", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false, false),
        ("limit=1000", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false, false),
        ("limit=10", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false, false),
        ("after=0&limit=9", &[1, 2, 3, 4, 5, 6, 7, 8, 9], false, true),
        ("limit=1", &[1], false, true),
        ("limit=3", &[1, 2, 3], false, true),
        ("after=7", &[8, 9, 10], true, false),
        ("limit=3&after=3", &[4, 5, 6], true, true),
        ("after=4&limit=3", &[5, 6, 7], true, true),
        ("limit=3&after=7", &[8, 9, 10], true, false),
        ("before=4", &[1, 2, 3], false, true),
        ("limit=3&before=8", &[5, 6, 7], true, true),
        ("limit=3&before=4", &[1, 2, 3], false, true),
        ("limit=2&before=10", &[8, 9], true, true),
        ("after=2&before=9&limit=3", &[3, 4, 5], true, true),
        (
            "after=6&before=9007199254740991",
            &[7, 8, 9, 10],
            true,
            true,
        ),
        // The newest page.
        ("before=now", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false, false),
        ("limit=3&before=now", &[8, 9, 10], true, false),
        (
            "limit=10&before=now",
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            false,
            false,
        ),
        // From `after` on, as without `before`.
        ("limit=3&after=2&before=now", &[3, 4, 5], true, true),
        ("limit=3&after=7&before=now", &[8, 9, 10], true, false),
        // A page that `before` ends is not the end of the list.
        ("after=2&before=6", &[3, 4, 5], true, true),
        // Empty pages: only a missing `next` means the end.
        ("after=10", &[], true, false),
        ("before=1", &[], false, true),
        ("after=5&before=6", &[], true, true),
        ("after=9&before=2", &[], true, true),
        ("after=0&before=1", &[], false, true),
    ];
    for list in &lists {
        for (query, numbers, earlier, later) in pages {
            let page = api.get(format!("{}?{query}", list.path)).await;
            assert_eq!(list.numbers(&page), numbers, "{page:#?}");
            let neighbours = (page.link("prev").is_some(), page.link("next").is_some());
            assert_eq!(neighbours, (earlier, later), "{page:#?}");
        }
        for query in ["after=9007199254740991", "after=5&before=5"] {
            let page = api.get(format!("{}?{query}", list.path)).await;
            page.expect(200, "[]");
        }
        // The next page of any page, also of an empty one, leads to all that follows.
        for (query, rest) in [
            ("before=1", 1..=10),
            ("after=5&before=6", 6..=10),
            ("after=9&before=2", 10..=10),
            ("after=2&before=6", 6..=10),
        ] {
            let path = format!("{}?limit=2&{query}", list.path);
            let pages = api.follow(path, "next").await;
            let numbers = pages.iter().flat_map(|page| list.numbers(page));
            let numbers: Vec<u64> = numbers.filter(|number| rest.contains(number)).collect();
            assert_eq!(numbers, rest.collect::<Vec<_>>(), "{query}: {pages:#?}");
        }
        // The page before an empty one.
        let page = api.get(format!("{}?limit=3&after=10", list.path)).await;
        let before = api.get(page.link("prev").expect("a page before it")).await;
        assert_eq!(list.numbers(&before), [8, 9, 10]);
    }
}

#[apply(on_each_server!)]
async fn newest_page_of_an_empty_list_has_no_neighbours(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chats = List::of_chats(&app);
    for query in ["?before=now", ""] {
        let page = api.get(format!("{}{query}", chats.path)).await;
        page.expect(200, "[]");
        assert_eq!(page.header("link"), None);
    }
    let messages = List::of_messages(&api.new_chat(&app).await);
    let page = api.get(format!("{}?before=now", messages.path)).await;
    page.expect(200, "[]");
    assert_eq!(page.header("link"), None);
    api.get(format!("{app}/chat/2/messages?before=now"))
        .await
        .expect_error(404, "Chat not found");
}

#[apply(on_each_backend!)]
async fn links_reach_both_ends_and_keep_the_limit(fixture: &Fixture) {
    let (api, lists) = lists_in_every_state(fixture).await;
    for list in &lists {
        let path = &list.path;
        let first = api.get(format!("{path}?limit=3")).await;
        assert_eq!(
            first.header("link"),
            Some(r#"<?limit=3&after=3>; rel="next""#)
        );
        for limit in [1, 3, 5, 9, 10, 11] {
            let forward = api.follow(format!("{path}?limit={limit}"), "next").await;
            let backward = api
                .follow(format!("{path}?limit={limit}&before=11"), "prev")
                .await;
            for pages in [&forward, &backward] {
                assert_eq!(pages.len(), 10_usize.div_ceil(limit), "{pages:#?}");
            }
            let numbers = |page| list.numbers(page);
            let forward: Vec<_> = forward.iter().flat_map(numbers).collect();
            let backward: Vec<_> = backward.iter().rev().flat_map(numbers).collect();
            assert_eq!(forward, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
            assert_eq!(backward, forward);
        }
        // Following `next`, then `prev`, returns to the same page.
        let there = first.link("next").expect("a next page");
        let back = api.get(there).await.link("prev").expect("a page before it");
        assert_eq!(api.get(back).await.body, first.body);
    }
}

#[apply(on_each_backend!)]
async fn message_list_items_have_exactly_the_documented_fields(fixture: &Fixture) {
    let api = fixture.start_with(&[WORKERS_OFF]).await;
    let chat = api.new_app_and_chat().await;
    api.get(format!("{chat}/messages")).await.expect(200, "[]");
    api.create_message(&chat, "Hello, World!").await;
    api.create_message(&chat, "Guess what?").await;
    api.update_message(&chat, 2, "Alhamdulilah").await;

    let path = format!("{chat}/messages");
    let response = api.get(&path).await;
    let items = response.json();
    let time = |item: usize, name: &str| {
        let text = items[item][name].as_str().expect("a time");
        check_time(text);
        text.to_owned()
    };
    let expected = format!(
        r#"[{{"appID":"{app}","chatID":1,"messageID":1,"message":"Hello, World!","createdAt":"{}"}},{{"appID":"{app}","chatID":1,"messageID":2,"message":"Alhamdulilah","createdAt":"{}","updatedAt":"{}"}}]"#,
        time(0, "createdAt"),
        time(1, "createdAt"),
        time(1, "updatedAt"),
        app = chat.app,
    );
    response.expect(200, &expected);
    let read = api.get(chat.message(2)).await;
    assert_eq!(read.time_field("CreatedAt"), time(1, "createdAt"));
    assert_eq!(read.time_field("UpdatedAt"), time(1, "updatedAt"));
    drop(api);

    // The same after storing.
    let api = fixture.start().await;
    eventually_eq("both are counted", json!(2), async || {
        api.messages_count(&chat).await
    })
    .await;
    api.get(&path).await.expect(200, &expected);
}

#[apply(on_each_server!)]
async fn chat_list_items_have_exactly_the_documented_fields(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let path = format!("{app}/chats");
    api.get(&path).await.expect(200, "[]");
    let chat = api.new_chat(&app).await;
    api.new_chat(&app).await;
    for _ in 0..3 {
        api.create_message(&chat, "hello").await;
    }
    let first = api.get(&chat).await.time_field("CreatedAt");
    let second = api
        .get(format!("{app}/chat/2"))
        .await
        .time_field("CreatedAt");
    let id = &app.id;
    let expected = format!(
        r#"[{{"appID":"{id}","chatID":1,"messagesCount":3,"createdAt":"{first}"}},{{"appID":"{id}","chatID":2,"messagesCount":null,"createdAt":"{second}"}}]"#,
    );
    eventually_eq("the list with its count", expected, async || {
        api.get(&path).await.body
    })
    .await;
}

#[apply(on_each_server!)]
async fn default_page_size_is_100(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    concurrently(4, |_| {
        let (api, app, chat) = (api.clone(), app.clone(), chat.clone());
        async move {
            for _ in 0..26 {
                api.new_chat(&app).await;
                api.create_message(&chat, "hello").await;
            }
        }
    })
    .await;
    api.new_chat(&app).await;
    api.create_message(&chat, "the 105th").await;
    for (list, count) in [(List::of_messages(&chat), 105), (List::of_chats(&app), 106)] {
        let path = &list.path;
        let first: Vec<u64> = (1..=100).collect();
        let remaining: Vec<u64> = (101..=count).collect();
        let page = api.get(path).await;
        assert_eq!(list.numbers(&page), first);
        let next = api.get(page.link("next").expect("a next page")).await;
        assert_eq!(list.numbers(&next), remaining);
        assert_eq!(next.link("next"), None);
        let all = api.get(format!("{path}?limit=1000")).await;
        assert_eq!(list.numbers(&all), [first, remaining].concat());
    }
}

#[apply(on_each_server!)]
async fn list_parameters_out_of_range_return_400(server: &Server) {
    const LIMIT: &str = "limit must be a whole number from 1 to 1000";
    const AFTER: &str = "after must be a whole number from 0 to 9007199254740991";
    const BEFORE: &str = "before must be a whole number from 1 to 9007199254740991, or now";
    let api = server.client();
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    for list in [List::of_messages(&chat), List::of_chats(&app)] {
        let path = &list.path;
        for (parameter, too_small, too_big, error) in [
            ("limit", "0", "1001", LIMIT),
            ("after", "-1", "9007199254740992", AFTER),
            ("before", "0", "9007199254740992", BEFORE),
        ] {
            for value in [
                too_small,
                too_big,
                "-1",
                "-9223372036854775809",
                "18446744073709551616",
                "99999999999999999999999999999999999999999999",
                "",
                "one",
                "1.5",
                "1e2",
                "0x1",
                "%D9%A1",
                "%00",
                "%FF",
                "1%201",
                "null",
                "Now",
                "now%20",
            ] {
                let response = api.get(format!("{path}?{parameter}={value}")).await;
                response.expect_error(400, error);
            }
        }
        // Unknown parameters are ignored too.
        let response = api.get(format!("{path}?limit=1000&page=0&sort=-1")).await;
        response.expect_status(200);
    }
}

#[apply(on_each_server!)]
async fn pages_return_each_item_once_during_writes(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let (app, chat) = filled(api, 20).await;
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let api = clients[writer % clients.len()].clone();
            let (app, chat) = (app.clone(), chat.clone());
            tokio::spawn(async move {
                for turn in 0..30 {
                    let number = api.create_message(&chat, "written meanwhile").await;
                    if turn % 3 == 0 {
                        api.update_message(&chat, number - 10, "changed meanwhile")
                            .await;
                        api.new_chat(&app).await;
                    }
                }
            })
        })
        .collect();

    let lists = [List::of_messages(&chat), List::of_chats(&app)];
    let mut rounds = 0;
    loop {
        let written = writers.iter().all(tokio::task::JoinHandle::is_finished);
        for list in &lists {
            let path = &list.path;
            // Forwards: everything from 1 to the last item when the last page was read.
            let pages = api.follow(format!("{path}?limit=7"), "next").await;
            let numbers: Vec<_> = pages.iter().flat_map(|page| list.numbers(page)).collect();
            let all: Vec<_> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, all);
            assert!(numbers.len() >= 20);
            // Backwards: everything from the last item at the start to 1.
            let start = format!("{path}?limit=7&before=9007199254740991");
            let pages = api.follow(start, "prev").await;
            let numbers: Vec<_> = pages
                .iter()
                .rev()
                .flat_map(|page| list.numbers(page))
                .collect();
            assert!(numbers.len() >= all.len(), "what was there is gone");
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        }
        rounds += 1;
        if written {
            break;
        }
    }
    assert!(rounds > 1, "nothing was written while the lists were read");
    for writer in writers {
        writer.await.expect("the writers succeed");
    }
    let list = api.get(format!("{chat}/messages?limit=1000")).await;
    let all: Vec<_> = (1..=110).collect();
    assert_eq!(list.numbers("messageID"), all);
}

#[apply(on_each_backend!)]
async fn lists_merge_pending_and_stored_items(fixture: &Fixture) {
    let (api, lists) = lists_in_every_state(fixture).await;
    for list in lists.iter().filter(|list| list.number == "messageID") {
        let items = api.get(&list.path).await.json();
        let texts: Vec<_> = items
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["message"].clone())
            .collect();
        let expected: Vec<_> = (1..=10)
            .map(|number| match number {
                2 => json!("number two"),
                _ => json!(format!("number {number}")),
            })
            .collect();
        assert_eq!(texts, expected);
        assert_ne!(items[1]["updatedAt"], Value::Null);
        assert_eq!(items[2]["updatedAt"], Value::Null);
    }
}

#[apply(on_each_server!)]
async fn references_are_relative_to_the_request(server: &Server) {
    let api = server.client();
    let username = json!({"username": "Shetewi"});
    let created = api.post("/application", &username).await;
    let id = created.text_field("Application");
    let mut references = vec![(created, format!("application/{id}"))];
    for (number, path) in [(1, "chat"), (2, "chats")] {
        let path = format!("/application/{id}/{path}");
        let created = api.send("POST", path, &[], "").await;
        references.push((created, format!("chat/{number}")));
    }
    let message = json!({"message": "hello"});
    for number in [1, 2] {
        let path = format!("/application/{id}/chat/1/message");
        let created = api.post(path, &message).await;
        references.push((created, format!("message/{number}")));
    }
    for (created, reference) in references {
        created.expect_status(201);
        assert_eq!(
            created.header("location"),
            Some(&*reference),
            "{created:#?}"
        );
        let path = created.location().expect("a location");
        api.get(path).await.expect_status(200);
    }
    for list in ["chats", "chat/1/messages"] {
        let page = api
            .get(format!(
                "/application/{id}/{list}?limit=1&other=a%26b&after=0"
            ))
            .await;
        let next = page.raw_link("next").expect("a next page");
        assert_eq!(next, "?other=a%26b&limit=1&after=1");
    }
}
