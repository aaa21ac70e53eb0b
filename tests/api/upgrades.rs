//! A new version on the stores of an older one, and the reverse. Both at once: `tests/upgrade`.

use deadpool_redis::redis;
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    BackendKind, Chat, Fixture, apply, eventually, eventually_eq, on_each_backend, on_embedded,
    on_services,
};

/// Accepts writes and stores nothing.
const IDLE: [(&str, &str); 1] = [("CONFAB_WORKERS__ENABLED", "false")];

/// Jobs of a newer version become dead letters at once.
const ONE_TRY: [(&str, &str); 1] = [("CONFAB_WORKERS__TRIES", "1")];

impl Fixture {
    /// Replaces the payload of a job.
    async fn put_payload(&self, id: &str, payload: &str) {
        assert!(!payload.contains('\''));
        let number = i64::from_str_radix(id, 16).expect("an id is hexadecimal");
        match self.backend_kind() {
            BackendKind::Embedded => {
                let sql = format!("UPDATE jobs SET payload = '{payload}' WHERE id = {number}");
                assert_eq!(self.execute(&sql).await, 1);
            }
            BackendKind::Services => {
                let services = self.services();
                let mut redis = services.redis().await.expect("a connection");
                let put: redis::RedisResult<i64> = redis::cmd("HSET")
                    .arg(format!("{}jobs", services.redis_prefix()))
                    .arg(&[id, payload])
                    .query_async(&mut redis)
                    .await;
                assert_eq!(put.expect("a response"), 0, "the job was there");
            }
        }
    }

    /// The jobs in a state, with all fields.
    async fn whole_jobs(&self, state: &str) -> Vec<Value> {
        let listed = self.json(&["jobs", "list", "--state", state]).await;
        let mut jobs = Vec::new();
        for job in listed["jobs"].as_array().expect("a list") {
            let id = job["id"].as_str().expect("an id");
            jobs.push(self.json(&["jobs", "show", id]).await);
        }
        jobs
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let finished = self.confab(&[arguments, &["--json"]].concat()).await;
        finished.expect_code(0);
        serde_json::from_str(&finished.stdout).expect("one JSON object")
    }
}

/// The payload of a job in the format of version 1.
fn first_of_version_1(kind: &str, chat: &Chat) -> String {
    let (app, number) = (&chat.app, chat.number);
    match kind {
        "create_application" => format!(
            r#"{{"v":1,"at":1764000000000,"number":0,"kind":"{kind}","app":"{app}","text":"Shetewi"}}"#
        ),
        "create_chat" => {
            format!(
                r#"{{"v":1,"at":1764000000001,"number":{number},"kind":"{kind}","app":"{app}"}}"#
            )
        }
        "create_message" => format!(
            r#"{{"v":1,"at":1764000000002,"number":1,"kind":"{kind}","app":"{app}","chat":{number},"text":"hello"}}"#
        ),
        _ => format!(
            r#"{{"v":1,"at":1764000000003,"number":1,"created":1764000000002,"kind":"{kind}","app":"{app}","chat":{number},"text":"hello again"}}"#
        ),
    }
}

#[apply(on_each_backend!)]
async fn jobs_in_the_format_of_version_1_are_stored(fixture: &Fixture) {
    let api = fixture.start_with(&IDLE).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "replaced").await;
    api.update_message(&chat, 1, "replaced").await;
    api.kill();
    let jobs = fixture.whole_jobs("waiting").await;
    assert_eq!(jobs.len(), 4, "{jobs:#?}");
    for job in &jobs {
        let kind = job["kind"].as_str().expect("a kind");
        let payload = first_of_version_1(kind, &chat);
        let id = job["id"].as_str().expect("an id");
        fixture.put_payload(id, &payload).await;
    }

    let api = fixture.start().await;
    eventually_eq("the update is found", vec![1], async || {
        api.search_numbers(&chat, "again").await
    })
    .await;
    let page = api.get(format!("{chat}/messages")).await.json();
    assert_eq!(page[0]["message"], "hello again");
    assert_eq!(page[0]["createdAt"], "2025-11-24T16:00:00.002Z");
    assert_eq!(page[0]["updatedAt"], "2025-11-24T16:00:00.003Z");
    let app = api.get(format!("/application/{}", chat.app)).await;
    assert_eq!(app.text_field("Username"), "Shetewi");
    assert_eq!(fixture.whole_jobs("dead").await, [Value::Null; 0]);
}

#[apply(on_each_backend!)]
async fn job_of_a_newer_version_is_kept_until_a_process_can_read_it(fixture: &Fixture) {
    let api = fixture.start_with(&IDLE).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "from the future").await;
    api.kill();
    let jobs = fixture.whole_jobs("waiting").await;
    let is_message = |job: &&Value| job["kind"] == "create_message";
    let job = jobs.iter().find(is_message).expect("the message's job");
    let (id, payload) = (&job["id"], &job["payload"]);
    let (id, payload) = (id.as_str().expect("an id"), payload.as_str());
    let payload = payload.expect("a payload");
    let newer = payload.replacen("\"v\":3,", "\"v\":4,\"mood\":\"cheerful\",", 1);
    assert_ne!(newer, payload);
    fixture.put_payload(id, &newer).await;

    let api = fixture.start_with(&ONE_TRY).await;
    let dead = eventually("a dead letter", async || {
        let mut dead = fixture.whole_jobs("dead").await;
        dead.pop().ok_or("there is none")
    })
    .await;
    // The payload is kept, and the error says what to do.
    assert_eq!(dead["payload"], newer);
    let error = dead["error"].as_str().expect("a reason");
    assert!(
        error.contains("version 4") && error.contains("newer program"),
        "{error}"
    );
    // Later jobs are stored.
    assert_eq!(api.create_message(&chat, "from today").await, 2);
    eventually_eq("the others are stored", Some(1), async || {
        fixture.stored_number("SELECT COUNT(*) FROM messages").await
    })
    .await;

    // In place of a newer version: the payload becomes readable to this one.
    fixture.put_payload(id, payload).await;
    fixture.json(&["jobs", "retry", "--all"]).await;
    eventually_eq("both are found", vec![1, 2], async || {
        api.search_numbers(&chat, "from").await
    })
    .await;
    assert_eq!(api.text(&chat, 1).await, "from the future");
}

#[apply(on_services!)]
async fn index_of_an_older_version_is_replaced_while_search_works(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..20 {
        api.create_message(&chat, "hello").await;
    }
    eventually_eq("all is found", 20, async || {
        api.search_numbers(&chat, "hello").await.len()
    })
    .await;
    api.kill();
    let elasticsearch = fixture.services().elasticsearch();
    let older = elasticsearch.indices().await.expect("a response");
    assert_eq!(older.len(), 1, "{older:?}");
    elasticsearch.add_field(&older[0]).await;
    elasticsearch.set_version(&older[0], 0).await;

    let api = fixture.start().await;
    eventually("the older index is gone", async || {
        assert_eq!(api.search_numbers(&chat, "hello").await.len(), 20);
        let indices = elasticsearch.indices().await?;
        if indices.contains(&older[0]) {
            Err(format!("{indices:?}"))
        } else {
            Ok(())
        }
    })
    .await;
    assert_eq!(api.search_numbers(&chat, "hello").await.len(), 20);
    fixture.confab(&["search", "verify"]).await.expect_code(0);

    // It stays; so does an index of a newer version.
    let newer = elasticsearch.indices().await.expect("a response");
    elasticsearch.set_version(&newer[0], 1000).await;
    api.kill();
    let api = fixture.start().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("it is found", 21, async || {
        api.search_numbers(&chat, "hello").await.len()
    })
    .await;
    assert_eq!(elasticsearch.indices().await, Ok(newer));
}

/// Raises the format of the stores as the migration of a newer version does.
async fn raise_mysql_format(fixture: &Fixture) {
    let raise = "UPDATE state SET format = 1000";
    assert_eq!(fixture.execute(raise).await, 1);
}

/// Raises the format of the queue as the first process of a newer version does.
async fn raise_redis_format(fixture: &Fixture) {
    let services = fixture.services();
    let mut redis = services.redis().await.expect("a connection");
    let raised: redis::RedisResult<i64> = redis::cmd("HSET")
        .arg(format!("{}epoch", services.redis_prefix()))
        .arg(&["format", "1000"])
        .query_async(&mut redis)
        .await;
    assert_eq!(raised.expect("a response"), 0, "there was a format");
}

#[apply(on_services!)]
async fn running_process_stops_when_a_newer_version_raises_the_format(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "before").await;
    eventually_eq("it is found", vec![1], async || {
        api.search_numbers(&chat, "before").await
    })
    .await;

    // The newer version migrates the database first. The queue still accepts writes, which that version will store.
    raise_mysql_format(fixture).await;
    eventually("the rows are not read any more", async || {
        let response = api.get(chat.message(1)).await;
        if response.status == 503 {
            Ok(())
        } else {
            Err(response)
        }
    })
    .await;
    raise_redis_format(fixture).await;
    let message = json!({"message": "after"});
    for response in [
        api.post(format!("{chat}/message"), &message).await,
        api.put(chat.message(1), &message).await,
        api.post("/application", &json!({"username": "Shetewi"}))
            .await,
        api.get(chat.message(1)).await,
        api.get(format!("{chat}/messages")).await,
        api.get("/readyz").await,
    ] {
        response.expect_status(503);
    }
    let stored = "SELECT COUNT(*) FROM messages WHERE text = 'after'";
    assert_eq!(fixture.stored_number(stored).await, Some(0));
    assert!(api.output().contains("which a newer confab introduced"));
}

#[apply(on_services!)]
async fn start_on_stores_of_a_newer_format_is_refused(fixture: &Fixture) {
    fixture.confab(&["migrate"]).await.expect_code(0);
    raise_mysql_format(fixture).await;
    for command in ["serve", "migrate"] {
        let finished = fixture.confab(&[command]).await;
        finished.expect_code(1);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        for word in ["format 1000", "newer confab", "run the newer version"] {
            assert!(said.contains(word), "{command}: {said}");
        }
    }
}

#[apply(on_embedded!)]
async fn served_file_is_not_migrated_by_another_version(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    // Without a pending migration, the command has nothing to do.
    fixture.confab(&["migrate"]).await.expect_code(0);
    // As if the server were of an older version.
    let forget = "DELETE FROM __diesel_schema_migrations WHERE version = '20261127000020'";
    assert_eq!(fixture.execute(forget).await, 1);
    let finished = fixture.confab(&["migrate"]).await;
    finished.expect_code(1);
    assert!(finished.stderr.contains("stop it first"), "{finished:#?}");
    assert_eq!(api.create_message(&chat, "hello").await, 1);
}

/// The rights that docs/deploying.md names suffice for every migration and for everything else.
#[apply(on_services!)]
async fn documented_rights_on_mysql_suffice(fixture: &Fixture) {
    let documentation = include_str!("../../docs/deploying.md");
    let rights = documentation
        .lines()
        .find_map(|line| line.strip_prefix("GRANT ")?.split(" ON ").next())
        .expect("a GRANT");
    let mut url = Url::parse(&fixture.services().mysql_url).expect("a URL");
    let database = url.path().trim_start_matches('/').to_owned();
    let user = format!("documented_{:08x}", rand::random::<u32>());
    let create = format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'");
    fixture.execute(&create).await;
    let grant = format!("GRANT {rights} ON {database}.* TO '{user}'@'%'");
    fixture.execute(&grant).await;
    url.set_username(&user).expect("a host");
    url.set_password(Some("secret")).expect("a host");
    let api = fixture
        .start_with(&[("CONFAB_SERVICES__MYSQL_URL", url.as_str())])
        .await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("it is counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    eventually_eq("it is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    drop(api);
    fixture.execute(&format!("DROP USER '{user}'@'%'")).await;
}
