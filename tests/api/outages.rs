//! A store that is out of reach: at the start, or later.

use serde_json::{Value, json};

use crate::support::{Client, Proxy, Site, eventually, on_services, settles};

const OUT_OF_REACH: &str = "Try again shortly: a store is out of reach";

/// A proxy before each store, all refusing, and the settings that lead the program to them.
struct Proxies {
    mysql: Proxy,
    redis: Proxy,
    elasticsearch: Proxy,
}

impl Proxies {
    fn refusing(site: &Site) -> Self {
        let services = site.services();
        Self {
            mysql: Proxy::refusing(&services.mysql_url),
            redis: Proxy::refusing(&services.redis_url),
            elasticsearch: Proxy::refusing(&services.elasticsearch_url),
        }
    }

    async fn open(site: &Site) -> Self {
        let mut proxies = Self::refusing(site);
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

/// Settings as [`Site::spawn`] takes them.
fn borrowed<'a>(settings: &'a [(&'static str, String); 3]) -> [(&'a str, &'a str); 3] {
    settings.each_ref().map(|(name, value)| (*name, &**value))
}

/// Waits until applications are accepted.
async fn accepts(api: &Client) {
    settles("an application is accepted", 201, async || {
        api.post("/application", &json!({"username": "Shetewi"}))
            .await
            .status
    })
    .await;
}

/// Waits until the queue knows of no job any more.
async fn all_jobs_are_done(site: &Site) {
    eventually("all jobs are done", async || {
        let finished = site.confab(&["jobs", "stats", "--json"]).await;
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

async fn a_process_without_its_stores_answers_up_and_comes_good_by_itself(site: &Site) {
    let mut proxies = Proxies::refusing(site);
    let settings = proxies.settings();
    let api = site.spawn(&borrowed(&settings)).await;
    let (username, message) = (json!({"username": "Shetewi"}), json!({"message": "hello"}));
    let path = "/application/00000000/chat/1";
    api.get("/up").await.expect_status(200);
    api.post("/application", &username)
        .await
        .expect_error(503, OUT_OF_REACH);
    for kind in ["chat", "chats"] {
        let answer = api
            .send("POST", format!("/application/00000000/{kind}"), &[], "")
            .await;
        answer.expect_error(503, OUT_OF_REACH);
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
    // What is wrong with a request can be told without any store.
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
    api.say(&chat, "hello").await;
    api.search(&chat, "hello")
        .await
        .expect_error(503, OUT_OF_REACH);
    settles("the message is stored and counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;

    proxies.elasticsearch.open().await;
    settles("the message is found", vec![1], async || {
        api.found(&chat, "hello").await
    })
    .await;
}

async fn each_store_may_be_the_one_that_comes_last(site: &Site) {
    for last in 0..3 {
        let mut proxies = Proxies::refusing(site);
        let settings = proxies.settings();
        let api = site.spawn(&borrowed(&settings)).await;
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
        api.say(&chat, "hello").await;
        settles("the message is found", vec![1], async || {
            api.found(&chat, "hello").await
        })
        .await;
    }
}

async fn with_redis_out_of_reach_what_is_stored_is_served_as_stale(site: &Site) {
    let mut proxies = Proxies::open(site).await;
    let settings = proxies.settings();
    let api = site.start_with(&borrowed(&settings)).await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.say(&chat, "hello").await;
    settles("the message is found", vec![1], async || {
        api.found(&chat, "hello").await
    })
    .await;
    settles("the message is counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    let chats_count = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        app.id
    );
    settles("the chat is counted", Some(1), async || {
        site.stored_number(&chats_count).await
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
        let answer = api.get(path).await;
        assert_eq!(answer.header("confab-state"), None, "{answer:#?}");
        healthy.push(answer.body);
    }

    proxies.redis.cut().await;
    for (path, body) in paths.iter().zip(&healthy) {
        let answer = api.get(path).await;
        answer.expect(200, body);
        assert_eq!(answer.header("confab-state"), Some("stale"), "{answer:#?}");
    }
    // What is not found may only not be stored yet.
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
        let answer = api.get(path).await;
        answer.expect(200, body);
        assert_eq!(answer.header("confab-state"), None, "{answer:#?}");
    }
    assert_eq!(api.say(&chat, "goodbye").await, 2);
}

async fn with_elasticsearch_out_of_reach_only_search_is_a_503(site: &Site) {
    let mut proxies = Proxies::open(site).await;
    let settings = proxies.settings();
    let api = site.start_with(&borrowed(&settings)).await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    settles("the message is found", vec![1], async || {
        api.found(&chat, "hello").await
    })
    .await;

    proxies.elasticsearch.cut().await;
    for path in ["search/hello", "search?q=hello"] {
        let answer = api.get(format!("{chat}/{path}")).await;
        answer.expect_error(503, OUT_OF_REACH);
    }
    assert_eq!(api.say(&chat, "hello").await, 2);
    api.change(&chat, 1, "hello again").await;
    assert_eq!(api.text(&chat, 1).await, "hello again");
    settles("the message is counted", json!(2), async || {
        api.messages_count(&chat).await
    })
    .await;

    proxies.elasticsearch.open().await;
    settles("both are found", vec![1, 2], async || {
        api.found(&chat, "hello").await
    })
    .await;
    settles("the change is found", vec![1], async || {
        api.found(&chat, "again").await
    })
    .await;
}

async fn with_mysql_out_of_reach_known_chats_take_messages(site: &Site) {
    let mut proxies = Proxies::open(site).await;
    let settings = proxies.settings();
    let api = site.start_with(&borrowed(&settings)).await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    settles("the message is counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    all_jobs_are_done(site).await;

    proxies.mysql.cut().await;
    assert_eq!(api.say(&chat, "hello").await, 2);
    api.change(&chat, 2, "hello again").await;
    assert_eq!(api.text(&chat, 2).await, "hello again");
    // What is stored cannot be read, and what may be stored cannot be denied.
    for path in [chat.message(1), "/application/00000000".into()] {
        api.get(path).await.expect_error(503, OUT_OF_REACH);
    }

    proxies.mysql.open().await;
    settles("the message is counted", json!(2), async || {
        let answer = api.get(&chat).await;
        answer.json()["MessagesCount"].clone()
    })
    .await;
    let stored = [(1, "hello".into()), (2, "hello again".into())];
    settles("the texts are stored", stored.to_vec(), async || {
        site.stored_messages(&chat).await
    })
    .await;
}

async fn an_index_that_hangs_does_not_hold_up_the_end(site: &Site) {
    let proxies = Proxies::open(site).await;
    let settings = proxies.settings();
    let mut settings = borrowed(&settings).to_vec();
    settings.extend([
        ("CONFAB_SERVICES__TIMEOUT_MS", "1000"),
        ("CONFAB_SERVICES__ELASTICSEARCH_WRITE_TIMEOUT_MS", "600000"),
        ("CONFAB_SERVER__SHUTDOWN_TIMEOUT_MS", "10000"),
    ]);
    let mut api = site.start_with(&settings).await;
    let chat = api.new_app_and_chat().await;
    all_jobs_are_done(site).await;
    proxies.elasticsearch.hang();
    api.say(&chat, "hello").await;
    settles("it is stored", 1, async || {
        site.stored_messages(&chat).await.len()
    })
    .await;
    // A search gives up long before the worker does, who has begun to tell the index by then.
    settles("a search gives up", 503, async || {
        api.search(&chat, "hello").await.status
    })
    .await;
    api.signal("TERM");
    settles("it has ended", true, async || api.ended().is_some()).await;
    let output = api.output();
    assert!(!output.contains("before all was finished"), "{output}");

    proxies.elasticsearch.resume();
    let api = site.start().await;
    settles("it is found", vec![1], async || {
        api.found(&chat, "hello").await
    })
    .await;
}

on_services!(
    an_index_that_hangs_does_not_hold_up_the_end,
    a_process_without_its_stores_answers_up_and_comes_good_by_itself,
    each_store_may_be_the_one_that_comes_last,
    with_redis_out_of_reach_what_is_stored_is_served_as_stale,
    with_elasticsearch_out_of_reach_only_search_is_a_503,
    with_mysql_out_of_reach_known_chats_take_messages,
);
