//! Sender and data of messages.

use serde_json::{Value, json};

use crate::{
    shutdown::exit_code,
    support::{
        Chat, Client, Fixture, Response, Server, apply, eventually, eventually_eq, on_each_backend,
        on_each_server,
    },
};

/// Accepts writes and stores nothing.
const IDLE: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

/// Data whose members are in no alphabetical order, and whose numbers would change if they were parsed.
const DATA: &str = r#"{"b":[1.0,1e5,-0,0.10],"a":{"text":",\"text\":","kind":"é"},"9":null}"#;

/// A sender with characters that JSON, URLs and databases treat specially.
const SENDER: &str = "Zoë 😀/\"'\\%: ";

impl Client {
    /// Sends a body to a path and expects a status.
    async fn write(&self, method: &str, path: &str, body: &str, status: u16) -> Response {
        let headers = [("Content-Type", "application/json")];
        let response = self.send(method, path, &headers, body).await;
        response.expect_status(status);
        response
    }

    /// Creates a message with a body.
    async fn create_with(&self, chat: &Chat, body: &str) -> Response {
        self.write("POST", &format!("{chat}/message"), body, 201)
            .await
    }

    /// Reads a message, and its item in the list of its chat.
    async fn read_both(&self, chat: &Chat, number: u64) -> (String, String) {
        let single = self.get(chat.message(number)).await;
        single.expect_status(200);
        let list = format!("{chat}/messages?limit=1&after={}", number - 1);
        let list = self.get(list).await;
        list.expect_status(200);
        (single.body, list.body)
    }

    /// Waits until a search finds the message with this item, whatever its times.
    async fn wait_until_found(&self, chat: &Chat, query: &str, ending: &str) {
        eventually("the hit", async || {
            let body = self.search(chat, query).await.body;
            match body.ends_with(&format!("{ending}}}]")) {
                true => Ok(()),
                false => Err(body),
            }
        })
        .await;
    }
}

/// Body with a text, [`SENDER`] and [`DATA`].
fn body(text: &str) -> String {
    let (text, sender) = (json!(text), json!(SENDER));
    format!(r#"{{"data": {DATA}, "sender": {sender}, "message": {text}}}"#)
}

#[apply(on_each_server!)]
async fn sender_and_data_are_read_back_after_the_times(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let app = &chat.app;
    let created = api.create_with(&chat, &body("hello")).await;
    let expected = format!(r#"{{"Application":"{app}","Chat":1,"MessageID":1,"Message":"hello"}}"#);
    assert_eq!(created.body, expected);

    let sender = json!(SENDER);
    let at = api.get(chat.message(1)).await.time_field("CreatedAt");
    let single = format!(
        r#"{{"Application":"{app}","Chat":1,"MessageID":"1","Message":"hello","CreatedAt":"{at}","Sender":{sender},"Data":{DATA}}}"#
    );
    let item = format!(
        r#"{{"appID":"{app}","chatID":1,"messageID":1,"message":"hello","createdAt":"{at}","sender":{sender},"data":{DATA}}}"#
    );
    assert_eq!(
        api.read_both(&chat, 1).await,
        (single.clone(), format!("[{item}]"))
    );
    eventually_eq("the hit", format!("[{item}]"), async || {
        api.search(&chat, "hello").await.body
    })
    .await;
    // The row is stored by now.
    assert_eq!(api.read_both(&chat, 1).await, (single, format!("[{item}]")));
}

#[apply(on_each_server!)]
async fn update_replaces_data_and_keeps_the_sender(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_with(&chat, &body("hello")).await;
    let sender = json!(SENDER);
    let path = chat.message(1);
    for (update, data) in [
        (
            r#"{"message":"second","data":{"n":2.50}}"#,
            r#","data":{"n":2.50}"#,
        ),
        (r#"{"message":"third","sender":"mallory"}"#, ""),
        (
            r#"{"message":"fourth","data":{},"sender":7}"#,
            r#","data":{}"#,
        ),
        (r#"{"message":"fifth","data":null}"#, ""),
    ] {
        api.write("PUT", &path, update, 200).await;
        let ending = format!(r#""sender":{sender}{data}"#);
        let (single, list) = api.read_both(&chat, 1).await;
        let named = ending.replace(r#""sender""#, r#""Sender""#);
        let named = named.replace(r#""data""#, r#""Data""#);
        assert!(single.ends_with(&format!("{named}}}")), "{single}");
        assert!(list.ends_with(&format!("{ending}}}]")), "{list}");
        let text: Value = serde_json::from_str(update).expect("JSON");
        let text = text["message"].as_str().expect("a text");
        api.wait_until_found(&chat, text, &ending).await;
    }
}

/// The row of a message is stored by now when a later message of its chat is counted.
async fn wait_until_stored(api: &Client, chat: &Chat, count: u64) {
    eventually_eq("the count", json!(count), async || {
        api.messages_count(chat).await
    })
    .await;
}

#[apply(on_each_backend!)]
async fn sender_is_known_while_creation_and_update_are_queued(fixture: &Fixture) {
    let api = fixture.start_with(&[IDLE]).await;
    let chat = api.new_app_and_chat().await;
    api.create_with(&chat, &body("hello")).await;
    api.create_message(&chat, "without a sender").await;
    let check = async |api: &Client, state: &str| {
        for (number, known) in [(1, true), (2, false)] {
            let (single, list) = api.read_both(&chat, number).await;
            let sender = format!(r#""Sender":{}"#, json!(SENDER));
            assert_eq!(single.contains(&sender), known, "{state}: {single}");
            let sender = sender.replace("Sender", "sender");
            assert_eq!(list.contains(&sender), known, "{state}: {list}");
        }
    };
    check(&api, "creation queued").await;
    // The first update learns the sender from the queued creation, the second one from the first.
    for text in ["first", "second"] {
        for number in [1, 2] {
            api.update_message(&chat, number, text).await;
        }
        check(&api, "creation and update queued").await;
    }
    api.kill();

    let mut api = fixture.start().await;
    wait_until_stored(&api, &chat, 2).await;
    eventually_eq("both are found", vec![1, 2], async || {
        api.search_numbers(&chat, "second").await
    })
    .await;
    check(&api, "stored").await;
    // It acknowledges what it stored, so the queue does not know the sender any more.
    api.signal("TERM");
    exit_code(&mut api).await;
    drop(api);

    let api = fixture.start_with(&[IDLE]).await;
    for number in [1, 2] {
        api.update_message(&chat, number, "third").await;
    }
    check(&api, "update queued, creation stored").await;
    assert_eq!(api.text(&chat, 1).await, "third");
    api.kill();
    let api = fixture.start().await;
    eventually_eq("both are found", vec![1, 2], async || {
        api.search_numbers(&chat, "third").await
    })
    .await;
    check(&api, "all stored").await;
}

#[apply(on_each_server!)]
async fn null_is_absent(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_with(&chat, r#"{"message":"hello","sender":null,"data": null }"#)
        .await;
    let (single, list) = api.read_both(&chat, 1).await;
    for absent in ["ender", "ata"] {
        assert!(!single.contains(absent), "{single}");
        assert!(!list.contains(absent), "{list}");
    }
}

#[apply(on_each_server!)]
async fn wrong_senders_and_data_are_refused_with_the_rule(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let sender = |text: String| format!(r#""sender":"{text}""#);
    let data = |json: &str| format!(r#""data":{json}"#);
    let sized = |bytes: usize| data(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8)));
    let refused = [
        (sender(String::new()), "Sender must not be empty"),
        (
            sender("a".repeat(256)),
            "Sender must be at most 255 characters",
        ),
        (sender("\\u0000".into()), "Sender must not contain U+0000"),
        (
            sender("\\ud800".into()),
            "Sender must not contain an unpaired surrogate",
        ),
        (r#""sender":1"#.into(), "Sender must be a string"),
        (r#""sender":{}"#.into(), "Sender must be a string"),
        (data("[]"), "Data must be a JSON object"),
        (data("\"{}\""), "Data must be a JSON object"),
        (data("1"), "Data must be a JSON object"),
        (data("false"), "Data must be a JSON object"),
        (
            sized(4097),
            "Data must be at most 4096 bytes as compact JSON",
        ),
        (
            data(r#"{"\udc00":1}"#),
            "Data must not contain an unpaired surrogate",
        ),
        (data("{'a':1}"), "Body must be valid JSON in UTF-8"),
    ];
    let path = format!("{chat}/message");
    for (member, error) in &refused {
        let body = format!(r#"{{"message":"hello",{member}}}"#);
        let expected = json!({ "error": error }).to_string();
        api.write("POST", &path, &body, 400)
            .await
            .expect(400, &expected);
    }
    for member in [
        sender("a".into()),
        sender("😀".repeat(255)),
        sender(" ".into()),
        sized(4096),
        data("{}"),
    ] {
        let body = format!(r#"{{"message":"hello",{member}}}"#);
        api.write("POST", &path, &body, 201).await;
        let (single, list) = api.read_both(&chat, api.last(&chat).await).await;
        let (lower, upper) = (
            &member,
            member.replacen("\"s", "\"S", 1).replacen("\"d", "\"D", 1),
        );
        assert!(single.ends_with(&format!("{upper}}}")), "{single}");
        assert!(list.ends_with(&format!("{lower}}}]")), "{list}");
    }
    // An update has no sender, and the same rules for data.
    for (member, error) in refused
        .iter()
        .filter(|(member, _)| member.starts_with("\"data"))
    {
        let body = format!(r#"{{"message":"hello",{member}}}"#);
        let expected = json!({ "error": error }).to_string();
        api.write("PUT", &chat.message(1), &body, 400)
            .await
            .expect(400, &expected);
    }
}

impl Client {
    /// Number of the newest message of a chat.
    async fn last(&self, chat: &Chat) -> u64 {
        let newest = self
            .get(format!("{chat}/messages?before=now&limit=1"))
            .await;
        newest.numbers("messageID")[0]
    }
}

#[apply(on_each_server!)]
async fn data_keeps_its_digits_its_order_and_repeated_members(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    let digits = "1234567890".repeat(40);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    for (n, (given, kept)) in [
        (
            r#"{ "z" : 1.0 , "a" : [ 1e5 , 1E+5, -0 ] }"#,
            r#"{"z":1.0,"a":[1e5,1E+5,-0]}"#,
        ),
        (
            &*format!(r#"{{"n":{digits}.{digits}}}"#),
            &*format!(r#"{{"n":{digits}.{digits}}}"#),
        ),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1,"b":2,"a":3}"#),
        (
            r#"{"\u00e9":"\u0007\/\u2028"}"#,
            "{\"é\":\"\\u0007/\u{2028}\"}",
        ),
        (&*deep, &*deep),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("text{n}");
        let body = format!(r#"{{"message":"{text}","data":{given}}}"#);
        api.create_with(&chat, &body).await;
        let number = n as u64 + 1;
        let (single, list) = api.read_both(&chat, number).await;
        assert!(single.ends_with(&format!(r#""Data":{kept}}}"#)), "{single}");
        assert!(list.ends_with(&format!(r#""data":{kept}}}]"#)), "{list}");
        api.wait_until_found(&chat, &text, &format!(r#""data":{kept}"#))
            .await;
        // An update is queued with what the queue knows of the creation, or after it was stored.
        api.write("PUT", &chat.message(number), &body, 200).await;
        let (single, _) = api.read_both(&chat, number).await;
        assert!(single.ends_with(&format!(r#""Data":{kept}}}"#)), "{single}");
    }
}

#[apply(on_each_server!)]
async fn etag_changes_if_only_the_data_changes(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_with(&chat, &body("hello")).await;
    let path = chat.message(1);
    let read = async || {
        let response = api.get(&path).await;
        let etag = response.header("etag").expect("an ETag").to_owned();
        (etag, response.body)
    };
    let (first, body) = read().await;
    let unchanged = [("If-None-Match", &*first)];
    let again = api.send("GET", &path, &unchanged, "").await;
    again.expect_status(304);
    let update = r#"{"message":"hello","data":{"b":[1.0]}}"#;
    api.write("PUT", &path, update, 200).await;
    let (second, changed) = read().await;
    assert_ne!(first, second, "{body} {changed}");
}

#[apply(on_each_backend!)]
async fn pages_count_the_bytes_of_senders_and_data(fixture: &Fixture) {
    /// Size of a page in bytes: the smallest that is allowed.
    const PAGE: usize = 131_072;
    let page = PAGE.to_string();
    let settings = [("CONFAB_LIMITS__PAGE_BYTES", &*page)];
    let idle = fixture.start_with(&[settings[0], IDLE]).await;
    let chat = idle.new_app_and_chat().await;
    let (sender, data) = ("😀".repeat(255), "x".repeat(4000));
    let body = json!({"message": "hello", "sender": sender, "data": {"a": data}}).to_string();
    for _ in 0..60 {
        idle.create_with(&chat, &body).await;
    }
    let check = async |api: &Client, state: &str| {
        let mut numbers = Vec::new();
        let mut after = 0;
        while after < 60 {
            let page = api
                .get(format!("{chat}/messages?limit=1000&after={after}"))
                .await;
            page.expect_status(200);
            let size = page.body.len();
            assert!(size <= PAGE, "{state}: {size}");
            let on_page = page.numbers("messageID");
            // A page is about full, unless it is the last one.
            assert!(
                size > PAGE * 9 / 10 || on_page.last() == Some(&60),
                "{state}: {size}"
            );
            after = *on_page.last().expect("an item");
            numbers.extend(on_page);
        }
        assert_eq!(numbers, Vec::from_iter(1..=60), "{state}");
    };
    check(&idle, "queued").await;
    idle.kill();
    let api = fixture.start_with(&settings).await;
    wait_until_stored(&api, &chat, 60).await;
    check(&api, "stored").await;
}

#[apply(on_each_server!)]
async fn description_names_sender_and_data(server: &Server) {
    let api = server.client();
    let description = api.get("/openapi.json").await.json();
    let schemas = &description["components"]["schemas"];
    for (schema, sender, data) in [
        ("NewMessage", "sender", "data"),
        ("Message", "Sender", "Data"),
        ("ListedMessage", "sender", "data"),
    ] {
        let properties = &schemas[schema]["properties"];
        assert_eq!(
            properties[sender]["maxLength"], 255,
            "{schema}: {properties}"
        );
        assert!(properties[data].is_object(), "{schema}: {properties}");
        let required = schemas[schema]["required"].as_array().expect("a list");
        assert!(!required.contains(&json!(sender)) && !required.contains(&json!(data)));
    }
    let update = &schemas["Text"]["properties"];
    assert!(
        update["data"].is_object() && update["sender"].is_null(),
        "{update}"
    );
}
