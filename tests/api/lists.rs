//! Messages and chats in pages.

use serde_json::{Value, json};

use crate::support::{
    Answer, App, Chat, Client, Process, Site, check_time, on_each_backing, settles, together,
};

const WORKERS_OFF: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

/// A list to page through, and the field that its items are numbered by.
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

    fn numbers(&self, page: &Answer) -> Vec<u64> {
        page.expect_status(200);
        page.numbers(self.number)
    }
}

/// An application of `count` chats, the first of which has `count` messages.
async fn filled(api: &Client, count: u64) -> (App, Chat) {
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    for number in 1..=count {
        if number > 1 {
            assert_eq!(api.new_chat(&app).await.number, number);
        }
        assert_eq!(api.say(&chat, &format!("number {number}")).await, number);
    }
    (app, chat)
}

/// A process without workers, and lists of ten chats and of ten messages that are all stored, that are half stored and
/// half pending, and that are all pending. The text of each message 2 has been changed, which is pending.
async fn lists_in_every_state(site: &Site) -> (Process, Vec<List>) {
    let api = site.start().await;
    let (stored_app, stored_chat) = filled(&api, 10).await;
    let (mixed_app, mixed_chat) = filled(&api, 5).await;
    let all_stored = format!(
        "(SELECT COUNT(*) FROM chats WHERE app IN ('{0}', '{1}')) + \
         (SELECT COUNT(*) FROM messages WHERE app IN ('{0}', '{1}'))",
        stored_app.id, mixed_app.id
    );
    settles("all is stored", Some(30), async || {
        site.stored_number(&all_stored).await
    })
    .await;
    drop(api);

    let api = site.start_with(&[WORKERS_OFF]).await;
    let (pending_app, pending_chat) = filled(&api, 10).await;
    for number in 6..=10 {
        assert_eq!(api.new_chat(&mixed_app).await.number, number);
        let text = format!("number {number}");
        assert_eq!(api.say(&mixed_chat, &text).await, number);
    }
    let mut lists = Vec::new();
    for (app, chat) in [
        (stored_app, stored_chat),
        (mixed_app, mixed_chat),
        (pending_app, pending_chat),
    ] {
        api.change(&chat, 2, "number two").await;
        lists.push(List::of_messages(&chat));
        lists.push(List::of_chats(&app));
    }
    (api, lists)
}

async fn a_page_is_chosen_by_limit_after_and_before(site: &Site) {
    let (api, lists) = lists_in_every_state(site).await;
    // The query, the numbers on the page, and whether there are neighbours before and after it.
    let pages: [(&str, &[u64], bool, bool); 16] = [
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
            false,
        ),
    ];
    for list in &lists {
        for (query, numbers, earlier, later) in pages {
            let page = api.get(format!("{}?{query}", list.path)).await;
            assert_eq!(list.numbers(&page), numbers, "{page:#?}");
            let neighbours = (page.link("prev").is_some(), page.link("next").is_some());
            assert_eq!(neighbours, (earlier, later), "{page:#?}");
        }
        // Both bounds at once, and nothing left between them.
        let between = api.get(format!("{}?after=2&before=6", list.path)).await;
        assert_eq!(list.numbers(&between), [3, 4, 5]);
        for query in [
            "after=10",
            "after=9007199254740991",
            "before=1",
            "after=5&before=5",
            "after=5&before=6",
            "after=9&before=2",
        ] {
            let page = api.get(format!("{}?{query}", list.path)).await;
            page.expect(200, "[]");
        }
    }
}

async fn links_lead_to_the_end_in_both_directions_and_keep_the_limit(site: &Site) {
    let (api, lists) = lists_in_every_state(site).await;
    for list in &lists {
        let path = &list.path;
        let first = api.get(format!("{path}?limit=3")).await;
        assert_eq!(
            first.header("link"),
            Some(&*format!(r#"<{path}?limit=3&after=3>; rel="next""#))
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
        // Forth and back again is where one was.
        let there = first.link("next").expect("a next page");
        let back = api.get(there).await.link("prev").expect("a page before it");
        assert_eq!(api.get(back).await.body, first.body);
    }
}

async fn an_item_of_the_list_of_messages_has_its_exact_fields(site: &Site) {
    let api = site.start_with(&[WORKERS_OFF]).await;
    let chat = api.new_app_and_chat().await;
    api.get(format!("{chat}/messages")).await.expect(200, "[]");
    api.say(&chat, "Hello, World!").await;
    api.say(&chat, "Guess what?").await;
    api.change(&chat, 2, "Alhamdulilah").await;

    let path = format!("{chat}/messages");
    let answer = api.get(&path).await;
    let items = answer.json();
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
    answer.expect(200, &expected);
    let read = api.get(chat.message(2)).await;
    assert_eq!(read.time_field("CreatedAt"), time(1, "createdAt"));
    assert_eq!(read.time_field("UpdatedAt"), time(1, "updatedAt"));
    drop(api);

    // The same once it is stored.
    let api = site.start().await;
    settles("both are counted", json!(2), async || {
        api.messages_count(&chat).await
    })
    .await;
    api.get(&path).await.expect(200, &expected);
}

async fn an_item_of_the_list_of_chats_has_its_exact_fields(site: &Site) {
    let api = site.start().await;
    let app = api.new_app().await;
    let path = format!("{app}/chats");
    api.get(&path).await.expect(200, "[]");
    let chat = api.new_chat(&app).await;
    api.new_chat(&app).await;
    for _ in 0..3 {
        api.say(&chat, "hello").await;
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
    settles("the list with its count", expected, async || {
        api.get(&path).await.body
    })
    .await;
}

async fn a_page_has_a_hundred_items_unless_asked_otherwise(site: &Site) {
    let api = site.start().await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    together(4, |_| {
        let (api, app, chat) = (api.client(), app.clone(), chat.clone());
        async move {
            for _ in 0..26 {
                api.new_chat(&app).await;
                api.say(&chat, "hello").await;
            }
        }
    })
    .await;
    api.new_chat(&app).await;
    api.say(&chat, "the 105th").await;
    for (list, count) in [(List::of_messages(&chat), 105), (List::of_chats(&app), 106)] {
        let path = &list.path;
        let first: Vec<u64> = (1..=100).collect();
        let rest: Vec<u64> = (101..=count).collect();
        let page = api.get(path).await;
        assert_eq!(list.numbers(&page), first);
        let next = api.get(page.link("next").expect("a next page")).await;
        assert_eq!(list.numbers(&next), rest);
        assert_eq!(next.link("next"), None);
        let all = api.get(format!("{path}?limit=1000")).await;
        assert_eq!(list.numbers(&all), [first, rest].concat());
    }
}

async fn a_parameter_outside_its_range_is_a_400(site: &Site) {
    const LIMIT: &str = "limit must be a whole number from 1 to 1000";
    const AFTER: &str = "after must be a whole number from 0 to 9007199254740991";
    const BEFORE: &str = "before must be a whole number from 1 to 9007199254740991";
    let api = site.start().await;
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
            ] {
                let answer = api.get(format!("{path}?{parameter}={value}")).await;
                answer.expect_error(400, error);
            }
        }
        // Fields that nobody knows are ignored here, too.
        let answer = api.get(format!("{path}?limit=1000&page=0&sort=-1")).await;
        answer.expect_status(200);
    }
}

async fn paging_while_others_write_gives_each_item_once(site: &Site) {
    let processes = site.start_all().await;
    let api = &processes[0];
    let (app, chat) = filled(api, 20).await;
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let api = processes[writer % processes.len()].client();
            let (app, chat) = (app.clone(), chat.clone());
            tokio::spawn(async move {
                for turn in 0..30 {
                    let number = api.say(&chat, "written meanwhile").await;
                    if turn % 3 == 0 {
                        api.change(&chat, number - 10, "changed meanwhile").await;
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
            // Forward: everything from 1 on, to what was last when the last page was read.
            let pages = api.follow(format!("{path}?limit=7"), "next").await;
            let numbers: Vec<_> = pages.iter().flat_map(|page| list.numbers(page)).collect();
            let all: Vec<_> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, all);
            assert!(numbers.len() >= 20);
            // Backward: everything down to 1 from what was last at the start.
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
        writer.await.expect("the writers are content");
    }
    let list = api.get(format!("{chat}/messages?limit=1000")).await;
    let all: Vec<_> = (1..=110).collect();
    assert_eq!(list.numbers("messageID"), all);
}

async fn a_list_shows_what_is_pending_and_what_is_stored_as_one(site: &Site) {
    let (api, lists) = lists_in_every_state(site).await;
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

on_each_backing!(
    a_page_is_chosen_by_limit_after_and_before,
    links_lead_to_the_end_in_both_directions_and_keep_the_limit,
    an_item_of_the_list_of_messages_has_its_exact_fields,
    an_item_of_the_list_of_chats_has_its_exact_fields,
    a_page_has_a_hundred_items_unless_asked_otherwise,
    a_parameter_outside_its_range_is_a_400,
    paging_while_others_write_gives_each_item_once,
    a_list_shows_what_is_pending_and_what_is_stored_as_one,
);
