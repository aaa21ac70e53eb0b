//! Unreachable stores, at startup or later.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    readiness::wait_for_readiness,
    support::{Client, Fixture, Proxy, TIMEOUT, apply, eventually, eventually_eq, on_services},
};

const OUT_OF_REACH: &str = "Try again shortly: a store is out of reach";

/// A refusing proxy in front of each store, and the settings that use them.
struct Proxies {
    mysql: Proxy,
    redis: Proxy,
    elasticsearch: Proxy,
}

impl Proxies {
    fn refusing(fixture: &Fixture) -> Self {
        let services = fixture.services();
        Self {
            mysql: Proxy::refusing(&services.mysql_url),
            redis: Proxy::refusing(&services.redis_url),
            elasticsearch: Proxy::refusing(&services.elasticsearch_url),
        }
    }

    async fn open(fixture: &Fixture) -> Self {
        let mut proxies = Self::refusing(fixture);
        proxies.mysql.open().await;
        proxies.redis.open().await;
        proxies.elasticsearch.open().await;
        proxies
    }

    fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("CONFAB_SERVICES__MYSQL_URL", self.mysql.url()),
            ("CONFAB_SERVICES__REDIS_URL", self.redis.url()),
            (
                "CONFAB_SERVICES__ELASTICSEARCH_URL",
                self.elasticsearch.url(),
            ),
        ]
    }
}

/// Settings as [`Fixture::spawn`] takes them.
fn as_strs<'a>(settings: &'a [(&'static str, String); 3]) -> [(&'a str, &'a str); 3] {
    settings.each_ref().map(|(name, value)| (*name, &**value))
}

/// Waits until applications are accepted.
async fn accepts(api: &Client) {
    eventually_eq("an application is accepted", 201, async || {
        api.post("/application", &json!({"username": "Shetewi"}))
            .await
            .status
    })
    .await;
}

/// Waits until the queue has no job.
pub async fn all_jobs_are_done(fixture: &Fixture) {
    eventually("all jobs are done", async || {
        let finished = fixture.confab(&["jobs", "stats", "--json"]).await;
        let stats: Value = serde_json::from_str(&finished.stdout).expect("one JSON object");
        let kinds = stats["kinds"].as_array().expect("a list").iter();
        let left: Vec<_> = kinds
            .flat_map(|kind| ["waiting", "leased", "delayed", "dead"].map(|state| &kind[state]))
            .filter(|count| **count != 0)
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(finished)
        }
    })
    .await;
}

#[apply(on_services!)]
async fn process_recovers_after_its_stores_start(fixture: &Fixture) {
    let mut proxies = Proxies::refusing(fixture);
    let settings = proxies.settings();
    let api = fixture.spawn(&as_strs(&settings)).await;
    let (username, message) = (json!({"username": "Shetewi"}), json!({"message": "hello"}));
    let path = "/application/00000000/chat/1";
    api.get("/up").await.expect_status(200);
    api.post("/application", &username)
        .await
        .expect_error(503, OUT_OF_REACH);
    for kind in ["chat", "chats"] {
        let response = api
            .send("POST", format!("/application/00000000/{kind}"), &[], "")
            .await;
        response.expect_error(503, OUT_OF_REACH);
    }
    api.post(format!("{path}/message"), &message)
        .await
        .expect_error(503, OUT_OF_REACH);
    api.put(format!("{path}/message/1"), &message)
        .await
        .expect_error(503, OUT_OF_REACH);
    for path in [
        "/application/00000000",
        "/application/00000000/chats",
        path,
        &format!("{path}/messages"),
        &format!("{path}/message/1"),
        &format!("{path}/search/hello"),
        &format!("{path}/search?q=hello"),
    ] {
        api.get(path).await.expect_error(503, OUT_OF_REACH);
    }
    // Validation needs no store.
    api.post("/application", &json!({}))
        .await
        .expect_error(400, "Username is required");
    api.get("/application/00000000/chat/007")
        .await
        .expect_error(404, "Chat not found");
    api.get("/nowhere").await.expect_error(404, "Not found");

    proxies.mysql.open().await;
    proxies.redis.open().await;
    accepts(&api).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    api.search(&chat, "hello")
        .await
        .expect_error(503, OUT_OF_REACH);
    eventually_eq("the message is stored and counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;

    proxies.elasticsearch.open().await;
    eventually_eq("the message is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
}

#[apply(on_services!)]
async fn stores_can_start_in_any_order(fixture: &Fixture) {
    for last in 0..3 {
        let mut proxies = Proxies::refusing(fixture);
        let settings = proxies.settings();
        let api = fixture.spawn(&as_strs(&settings)).await;
        let [mysql, redis, elasticsearch] = [0, 1, 2].map(|store| store != last);
        if mysql {
            proxies.mysql.open().await;
        }
        if redis {
            proxies.redis.open().await;
        }
        if elasticsearch {
            proxies.elasticsearch.open().await;
        }
        api.get("/up").await.expect_status(200);
        match last {
            0 => proxies.mysql.open().await,
            1 => proxies.redis.open().await,
            _ => proxies.elasticsearch.open().await,
        }
        accepts(&api).await;
        let chat = api.new_app_and_chat().await;
        api.create_message(&chat, "hello").await;
        eventually_eq("the message is found", vec![1], async || {
            api.search_numbers(&chat, "hello").await
        })
        .await;
    }
}

#[apply(on_services!)]
async fn reads_return_stored_data_as_stale_without_redis(fixture: &Fixture) {
    let mut proxies = Proxies::open(fixture).await;
    let settings = proxies.settings();
    let api = fixture.start_with(&as_strs(&settings)).await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.create_message(&chat, "hello").await;
    eventually_eq("the message is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    eventually_eq("the message is counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    let chats_count = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        app.id
    );
    eventually_eq("the chat is counted", Some(1), async || {
        fixture.stored_number(&chats_count).await
    })
    .await;
    let paths = [
        app.to_string(),
        format!("{app}/chats"),
        chat.to_string(),
        format!("{chat}/messages"),
        chat.message(1),
    ];
    let mut healthy = Vec::new();
    for path in &paths {
        let response = api.get(path).await;
        assert_eq!(response.header("confab-state"), None, "{response:#?}");
        healthy.push(response.body);
    }

    proxies.redis.cut().await;
    for (path, body) in paths.iter().zip(&healthy) {
        let response = api.get(path).await;
        response.expect(200, body);
        assert_eq!(
            response.header("confab-state"),
            Some("stale"),
            "{response:#?}"
        );
    }
    // A missing row may not be stored yet.
    for path in [
        "/application/00000000",
        "/application/00000000/chats",
        &format!("{app}/chat/2"),
        &format!("{app}/chat/2/messages"),
        &format!("{app}/chat/2/message/1"),
        &chat.message(2),
    ] {
        api.get(path).await.expect_error(503, OUT_OF_REACH);
    }
    let message = json!({"message": "goodbye"});
    api.post("/application", &json!({"username": "Shetewi"}))
        .await
        .expect_error(503, OUT_OF_REACH);
    api.send("POST", format!("{app}/chat"), &[], "")
        .await
        .expect_error(503, OUT_OF_REACH);
    api.post(format!("{chat}/message"), &message)
        .await
        .expect_error(503, OUT_OF_REACH);
    api.put(chat.message(1), &message)
        .await
        .expect_error(503, OUT_OF_REACH);

    proxies.redis.open().await;
    accepts(&api).await;
    for (path, body) in paths.iter().zip(&healthy) {
        let response = api.get(path).await;
        response.expect(200, body);
        assert_eq!(response.header("confab-state"), None, "{response:#?}");
    }
    assert_eq!(api.create_message(&chat, "goodbye").await, 2);
}

#[apply(on_services!)]
async fn only_search_returns_503_without_elasticsearch(fixture: &Fixture) {
    let mut proxies = Proxies::open(fixture).await;
    let settings = proxies.settings();
    let api = fixture.start_with(&as_strs(&settings)).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("the message is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;

    proxies.elasticsearch.cut().await;
    for path in ["search/hello", "search?q=hello"] {
        let response = api.get(format!("{chat}/{path}")).await;
        response.expect_error(503, OUT_OF_REACH);
    }
    assert_eq!(api.create_message(&chat, "hello").await, 2);
    api.update_message(&chat, 1, "hello again").await;
    assert_eq!(api.text(&chat, 1).await, "hello again");
    eventually_eq("the message is counted", json!(2), async || {
        api.messages_count(&chat).await
    })
    .await;

    proxies.elasticsearch.open().await;
    eventually_eq("both are found", vec![1, 2], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    eventually_eq("the change is found", vec![1], async || {
        api.search_numbers(&chat, "again").await
    })
    .await;
}

#[apply(on_services!)]
async fn known_chats_accept_messages_without_mysql(fixture: &Fixture) {
    let mut proxies = Proxies::open(fixture).await;
    let settings = proxies.settings();
    let api = fixture.start_with(&as_strs(&settings)).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("the message is counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    all_jobs_are_done(fixture).await;

    proxies.mysql.cut().await;
    assert_eq!(api.create_message(&chat, "hello").await, 2);
    api.update_message(&chat, 2, "hello again").await;
    assert_eq!(api.text(&chat, 2).await, "hello again");
    // Stored rows cannot be read, so their existence cannot be denied.
    for path in [chat.message(1), "/application/00000000".into()] {
        api.get(path).await.expect_error(503, OUT_OF_REACH);
    }

    proxies.mysql.open().await;
    eventually_eq("the message is counted", json!(2), async || {
        let response = api.get(&chat).await;
        response.json()["MessagesCount"].clone()
    })
    .await;
    let stored = [(1, "hello".into()), (2, "hello again".into())];
    eventually_eq("the texts are stored", stored.to_vec(), async || {
        fixture.stored_messages(&chat).await
    })
    .await;
}

/// Writes that arrive together share a call. One that needs MySQL must not delay the others.
#[apply(on_services!)]
async fn unknown_chats_do_not_delay_writes_into_known_ones_while_mysql_hangs(fixture: &Fixture) {
    let proxies = Proxies::open(fixture).await;
    let settings = proxies.settings();
    let mut settings = as_strs(&settings).to_vec();
    // Longer than this test.
    settings.push(("CONFAB_SERVICES__TIMEOUT_MS", "600000"));
    let api = fixture.start_with(&settings).await;
    let chat = api.new_app_and_chat().await;
    assert_eq!(api.create_message(&chat, "hello").await, 1);
    all_jobs_are_done(fixture).await;

    proxies.mysql.hang();
    let message = json!({"message": "hello"});
    let unknown: JoinSet<_> = (0..50)
        .map(|n| {
            let (api, message) = (api.client(), message.clone());
            async move {
                let path = format!("/application/{n:08x}/chat/1/message");
                api.post(path, &message).await
            }
        })
        .collect();
    for number in 2..=50 {
        let accepted = tokio::time::timeout(TIMEOUT, api.create_message(&chat, "hello"));
        assert_eq!(
            accepted.await,
            Ok(number),
            "a settled write waits for MySQL"
        );
    }
    proxies.mysql.resume();
    for response in unknown.join_all().await {
        response.expect_error(404, "Chat not found");
    }
}

#[apply(on_services!)]
async fn repeated_probes_of_an_unknown_id_query_mysql_once(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let queries = async || {
        let scraped = api.admin().get("/metrics").await.body;
        let lines = scraped.lines().filter(|line| {
            line.starts_with("confab_store_call_duration_seconds_count")
                && (line.contains("highest_message") || line.contains("highest_chat"))
        });
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    let before = queries().await;
    let (username, message) = (json!({}), json!({"message": "hello"}));
    let probe = async || {
        let chat = format!("/application/{}/chat/1", app.id);
        let response = api.post(format!("{chat}/message"), &message).await;
        response.expect_error(404, "Chat not found");
        let response = api.get(format!("{chat}/messages")).await;
        response.expect_error(404, "Chat not found");
        let response = api.post("/application/00000000/chat", &username).await;
        response.expect_error(404, "Application not found");
    };
    for _ in 0..100 {
        probe().await;
    }
    // What is remembered expires, so that a slow run may query again.
    let queried = queries().await - before;
    assert!(queried < 100, "{queried} queries for 300 probes of two IDs");

    // A chat that was unknown a moment ago exists as soon as it is created.
    let chat = api.new_chat(&app).await;
    assert_eq!(api.create_message(&chat, "hello").await, 1);
    assert_eq!(api.text(&chat, 1).await, "hello");
}

#[apply(on_services!)]
async fn shutdown_completes_while_elasticsearch_hangs(fixture: &Fixture) {
    let proxies = Proxies::open(fixture).await;
    let settings = proxies.settings();
    let mut settings = as_strs(&settings).to_vec();
    settings.extend([
        ("CONFAB_SERVICES__TIMEOUT_MS", "1000"),
        ("CONFAB_SERVICES__ELASTICSEARCH_WRITE_TIMEOUT_MS", "600000"),
        ("CONFAB_SERVER__SHUTDOWN_TIMEOUT_MS", "10000"),
    ]);
    let mut api = fixture.start_with(&settings).await;
    let chat = api.new_app_and_chat().await;
    all_jobs_are_done(fixture).await;
    proxies.elasticsearch.hang();
    api.create_message(&chat, "hello").await;
    eventually_eq("it is stored", 1, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    // A search times out long before the worker, which has started to index by then.
    eventually_eq("a search gives up", 503, async || {
        api.search(&chat, "hello").await.status
    })
    .await;
    api.signal("TERM");
    eventually_eq("it has ended", true, async || api.ended().is_some()).await;
    let output = api.output();
    assert!(!output.contains("before all was finished"), "{output}");

    proxies.elasticsearch.resume();
    let api = fixture.start().await;
    eventually_eq("it is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
}

#[apply(on_services!)]
async fn search_that_hangs_does_not_stop_others(fixture: &Fixture) {
    let proxies = Proxies::open(fixture).await;
    let settings = proxies.settings();
    let mut settings = as_strs(&settings).to_vec();
    settings.push(("CONFAB_SERVICES__TIMEOUT_MS", "3000"));
    proxies.elasticsearch.hang_on("hangs");
    let api = fixture.start_with(&settings).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    let found = async || api.search_numbers(&chat, "hello").await;
    eventually_eq("the message is found", vec![1], found).await;
    for _ in 0..2 {
        api.search(&chat, "hangs")
            .await
            .expect_error(503, OUT_OF_REACH);
        // Elasticsearch responds: neither searches nor indexing pause.
        let response = api.search(&chat, "hello").await;
        response.expect_status(200);
        wait_for_readiness(&api, 200, "ready").await;
    }
}
