//! Search over HTTP. The search table of the stores suite defines what matches.

use url::form_urlencoded;

use crate::support::{
    Chat, Client, Response, Server, apply, check_time, eventually_eq, on_each_server,
};

/// Waits until search finds exactly these messages.
async fn finds(api: &Client, chat: &Chat, query: &str, numbers: &[u64]) {
    let what = format!("search for {query:?}");
    eventually_eq(&what, numbers.to_vec(), async || {
        api.search_numbers(chat, query).await
    })
    .await;
}

/// Waits until the index holds the messages of a chat from 1 to `count`, which all contain "hello".
async fn all_are_indexed(api: &Client, chat: &Chat, count: u64) {
    let all: Vec<u64> = (1..=count).collect();
    finds(api, chat, "hello", &all).await;
}

#[apply(on_each_server!)]
async fn hits_have_exactly_the_documented_fields(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "Alhamdulilah").await;
    api.create_message(&chat, "Hello, World!").await;
    api.update_message(&chat, 2, "Hello, Alhamdulilah!").await;
    finds(&api, &chat, "alhamdulilah", &[1, 2]).await;

    let response = api.get(format!("{chat}/search/Alhamdulilah")).await;
    let items = response.json();
    let time = |item: usize, name: &str| {
        let text = items[item][name].as_str().expect("a time");
        check_time(text);
        text.to_owned()
    };
    let expected = format!(
        r#"[{{"appID":"{app}","chatID":1,"messageID":1,"message":"Alhamdulilah","createdAt":"{}"}},{{"appID":"{app}","chatID":1,"messageID":2,"message":"Hello, Alhamdulilah!","createdAt":"{}","updatedAt":"{}"}}]"#,
        time(0, "createdAt"),
        time(1, "createdAt"),
        time(1, "updatedAt"),
        app = chat.app,
    );
    response.expect(200, &expected);
    let read = api.get(chat.message(2)).await;
    assert_eq!(read.time_field("CreatedAt"), time(1, "createdAt"));
    assert_eq!(read.time_field("UpdatedAt"), time(1, "updatedAt"));
}

#[apply(on_each_server!)]
async fn path_and_query_parameter_return_the_same_hits(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    for text in [
        "hello world",
        "hello and/or goodbye",
        "hello 50% + more & more? #1",
        "hello café 北京 الحمد",
        "hello a\\b \"quoted words\"",
    ] {
        api.create_message(&chat, text).await;
    }
    all_are_indexed(&api, &chat, 5).await;
    for (query, numbers) in [
        ("hello", vec![1, 2, 3, 4, 5]),
        ("hello world", vec![1]),
        ("world hello", vec![1]),
        ("hell", vec![1, 2, 3, 4, 5]),
        ("and/or", vec![2]),
        ("or/and", vec![]),
        ("/goodbye/", vec![2]),
        ("50%", vec![3]),
        ("more & more?", vec![3]),
        ("+ more", vec![3]),
        ("#1", vec![3]),
        ("CAFE", vec![4]),
        ("北京", vec![4]),
        ("الحمد", vec![4]),
        ("a\\b", vec![5]),
        ("\"quoted words\"", vec![5]),
        ("\"words quoted\"", vec![]),
        ("nowhere", vec![]),
    ] {
        // In a query, a space may be `+` or `%20`; in a path, all reserved characters are escaped.
        let plus: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let escaped = plus.replace('+', "%20");
        for path in [
            format!("{chat}/search/{escaped}"),
            format!("{chat}/search?q={escaped}"),
            format!("{chat}/search?q={plus}"),
            format!("{chat}/search?limit=100&q={plus}&after=0"),
        ] {
            let response = api.get(path).await;
            response.expect_status(200);
            assert_eq!(
                response.numbers("messageID"),
                numbers,
                "{query:?}: {response:#?}"
            );
        }
    }
    // In a path, a plus is a plus. The words of a piece must follow each other.
    for (path, numbers) in [
        ("search/world+hello", &[][..]),
        ("search?q=world+hello", &[1]),
    ] {
        let response = api.get(format!("{chat}/{path}")).await;
        assert_eq!(response.numbers("messageID"), numbers, "{path}");
    }
}

#[apply(on_each_server!)]
async fn query_without_a_word_returns_no_hits(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello * \" 😀").await;
    all_are_indexed(&api, &chat, 1).await;
    for path in [
        "search",
        "search?q=",
        "search?q",
        "search?limit=5",
        "search?q=%20",
        "search/%20",
        "search/*",
        "search/%22",
        "search/%22%22",
        "search/%F0%9F%98%80",
        "search/-",
        "search/%2F",
    ] {
        api.get(format!("{chat}/{path}")).await.expect(200, "[]");
    }
}

#[apply(on_each_server!)]
async fn no_query_is_a_syntax_error(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "C++ AND hello").await;
    all_are_indexed(&api, &chat, 1).await;
    for (query, numbers) in [
        ("C++ AND (", vec![1]),
        ("hello)", vec![1]),
        ("\"hello", vec![1]),
        ("hello\"", vec![1]),
        ("hello OR", vec![]),
        ("NOT hello", vec![]),
        ("hello*", vec![1]),
        ("*ello", vec![]),
        ("message:hello", vec![]),
        ("hello~2", vec![]),
        ("{\"query\":\"hello\"}", vec![]),
        ("hello\\", vec![1]),
        ("\u{1}hello\u{0}", vec![1]),
        ("^hello$", vec![1]),
        ("NEAR(hello, 5)", vec![]),
    ] {
        let response = api.search(&chat, query).await;
        response.expect_status(200);
        assert_eq!(response.numbers("messageID"), numbers, "{query:?}");
    }
}

#[apply(on_each_server!)]
async fn search_is_limited_to_the_requested_chat(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chats = [
        api.new_chat(&app).await,
        api.new_chat(&app).await,
        api.new_app_and_chat().await,
    ];
    for (count, chat) in (1..).zip(&chats) {
        for _ in 0..count {
            api.create_message(chat, "hello everybody").await;
        }
    }
    for (count, chat) in (1..).zip(&chats) {
        all_are_indexed(&api, chat, count).await;
        let hits = api.search(chat, "hello").await.json();
        for hit in hits.as_array().expect("a list") {
            assert_eq!(hit["appID"], *chat.app);
            assert_eq!(hit["chatID"], chat.number);
        }
    }
}

#[apply(on_each_server!)]
async fn old_text_is_not_found_after_an_update(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "the old text").await;
    api.create_message(&chat, "another text").await;
    finds(&api, &chat, "text", &[1, 2]).await;
    api.update_message(&chat, 1, "the new text").await;
    finds(&api, &chat, "new", &[1]).await;
    finds(&api, &chat, "old", &[]).await;
    finds(&api, &chat, "text", &[1, 2]).await;
    let hits = api.search(&chat, "text").await.json();
    assert_eq!(hits[0]["message"], "the new text");
}

#[apply(on_each_server!)]
async fn every_process_finds_messages_accepted_by_any_process(server: &Server) {
    let clients = server.clients();
    let chat = clients[0].new_app_and_chat().await;
    for number in 1..=10 {
        let api = &clients[number as usize % clients.len()];
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    for process in &clients {
        all_are_indexed(process, &chat, 10).await;
    }
}

#[apply(on_each_server!)]
async fn hits_are_paged_from_the_newest(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    // The odd numbers from 1 to 89 are hits.
    for number in 1..=90 {
        let text = if number % 2 == 1 { "hello" } else { "goodbye" };
        api.create_message(&chat, text).await;
    }
    let all: Vec<u64> = (1..=90).step_by(2).collect();
    finds(&api, &chat, "hello", &all).await;

    let hits = |response: &Response| {
        response.expect_status(200);
        response.numbers("messageID")
    };
    for path in [
        format!("{chat}/search/hello"),
        format!("{chat}/search?q=hello"),
    ] {
        let newest = api.get(&path).await;
        assert_eq!(hits(&newest), all[25..], "20 unless asked otherwise");
        assert_eq!(newest.link("next"), None);

        let separator = if path.contains('?') { '&' } else { '?' };
        for limit in [1, 7, 20, 45, 100] {
            let start = format!("{path}{separator}limit={limit}");
            let back = api.follow(&start, "prev").await;
            assert_eq!(back.len(), all.len().div_ceil(limit));
            assert_eq!(hits(&back[0]), all[all.len().saturating_sub(limit)..]);
            let numbers: Vec<_> = back.iter().rev().flat_map(hits).collect();
            assert_eq!(numbers, all);

            let forth = api.follow(format!("{start}&after=0"), "next").await;
            let numbers: Vec<_> = forth.iter().flat_map(hits).collect();
            assert_eq!(numbers, all);
        }
        for (page, numbers) in [
            ("limit=3&before=11", vec![5, 7, 9]),
            ("limit=3&before=10", vec![5, 7, 9]),
            ("limit=3&after=11", vec![13, 15, 17]),
            ("after=80", vec![81, 83, 85, 87, 89]),
            ("after=89", vec![]),
            ("before=1", vec![]),
            ("after=10&before=16", vec![11, 13, 15]),
            ("limit=3&before=now", vec![85, 87, 89]),
        ] {
            let response = api.get(format!("{path}{separator}{page}")).await;
            assert_eq!(hits(&response), numbers, "{page}");
        }
    }
}

#[apply(on_each_server!)]
async fn query_is_limited_to_1000_characters(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    all_are_indexed(&api, &chat, 1).await;
    for character in ["a", "é", "😀", " "] {
        let escape = |count| {
            let text = character.repeat(count);
            let escaped: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            escaped.replace('+', "%20")
        };
        for path in [format!("{chat}/search/"), format!("{chat}/search?q=")] {
            api.get(format!("{path}{}", escape(1_000)))
                .await
                .expect(200, "[]");
            api.get(format!("{path}{}", escape(1_001)))
                .await
                .expect_error(400, "Query must be at most 1000 characters");
        }
    }
}

#[apply(on_each_server!)]
async fn query_is_limited_to_128_words(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    all_are_indexed(&api, &chat, 1).await;
    // Words between spaces, of one piece, quoted, and of a script without spaces.
    for (start, word, end) in [
        ("", "a ", ""),
        ("", "a.", ""),
        ("\"", "a ", "\""),
        ("", "北", ""),
        ("x ", "\"a b\" ", "\"c\""),
    ] {
        let per_word = if word.contains('b') { 2 } else { 1 };
        let other = usize::from(!start.trim_matches('"').is_empty())
            + usize::from(!end.trim_matches('"').is_empty());
        let most = (128 - other) / per_word;
        for (count, too_many) in [(most, false), (most + 1, true)] {
            let text = format!("{start}{}{end}", word.repeat(count));
            let escaped: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let escaped = escaped.replace('+', "%20");
            for path in [format!("{chat}/search/"), format!("{chat}/search?q=")] {
                let response = api.get(format!("{path}{escaped}")).await;
                match too_many {
                    false => response.expect(200, "[]"),
                    true => response.expect_error(400, "Query must be at most 128 words"),
                }
            }
        }
    }
    // Signs are no words.
    let response = api.get(format!("{chat}/search?q={}", "*.".repeat(400)));
    response.await.expect(200, "[]");
}

#[apply(on_each_server!)]
async fn search_parameters_out_of_range_return_400(server: &Server) {
    const LIMIT: &str = "limit must be a whole number from 1 to 100";
    const AFTER: &str = "after must be a whole number from 0 to 9007199254740991";
    const BEFORE: &str = "before must be a whole number from 1 to 9007199254740991, or now";
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    for path in [
        format!("{chat}/search/hello?"),
        format!("{chat}/search?q=hello&"),
    ] {
        for (parameter, error) in [
            ("limit=0", LIMIT),
            ("limit=101", LIMIT),
            ("limit=-1", LIMIT),
            ("limit=", LIMIT),
            ("limit=many", LIMIT),
            ("after=-1", AFTER),
            ("after=9007199254740992", AFTER),
            ("after=1.5", AFTER),
            ("before=0", BEFORE),
            ("before=9007199254740992", BEFORE),
            ("before=%20", BEFORE),
            ("before=NOW", BEFORE),
            ("after=now", AFTER),
        ] {
            let response = api.get(format!("{path}{parameter}")).await;
            response.expect_error(400, error);
        }
    }
}
