//! Searches everything that the services hold for the content of what was deleted.

use deadpool_redis::redis;
use diesel::{QueryableByName, sql_types::Text};
use serde_json::json;

use crate::{
    jobs::ONE_TRY,
    outages::all_jobs_are_done,
    support::{App, Chat, Fixture, Process, apply, eventually_eq, on_services},
};

/// Part of all content that is deleted: one word, so that the index holds it as it is.
const SECRET: &str = "quittenmus";

/// Sender whose name is deleted with her messages. The name in a request to erase a sender is kept in the list of erasures.
const ALICE: &str = "alice quittenmus";

/// Tables of MySQL, keys of Redis and indices whose content holds the secret.
async fn places(fixture: &Fixture) -> Vec<String> {
    let mut places = tables(fixture).await;
    places.extend(keys(fixture).await);
    let documents = fixture.services().elasticsearch().dump().await;
    if documents.expect("the documents").contains(SECRET) {
        places.push("the index".into());
    }
    places
}

async fn tables(fixture: &Fixture) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Table {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        columns: String,
    }
    let tables = "SELECT CAST(table_name AS CHAR) AS name, \
                  CAST(GROUP_CONCAT('`', column_name, '`') AS CHAR) AS columns \
                  FROM information_schema.columns WHERE table_schema = DATABASE() GROUP BY table_name";
    let mut places = Vec::new();
    for Table { name, columns } in fixture.rows::<Table>(tables).await {
        let count = format!(
            "SELECT COUNT(*) FROM `{name}` WHERE LOCATE(BINARY '{SECRET}', CONCAT_WS('|', {columns}, BINARY '')) > 0"
        );
        if fixture.stored_number(&count).await != Some(0) {
            places.push(format!("the table {name}"));
        }
    }
    places
}

async fn keys(fixture: &Fixture) -> Vec<String> {
    let mut connection = fixture.services().redis().await.expect("a connection");
    let mut places = Vec::new();
    for key in fixture.services().keys().await.expect("the keys") {
        let kind: String = ask(&mut connection, &["TYPE", &key]).await;
        let read: &[&str] = match kind.as_str() {
            "string" => &["GET", &key],
            "list" => &["LRANGE", &key, "0", "-1"],
            "hash" => &["HGETALL", &key],
            "set" => &["SMEMBERS", &key],
            "zset" => &["ZRANGE", &key, "0", "-1"],
            // It has expired.
            "none" => continue,
            _ => panic!("{key} is a {kind}"),
        };
        let value: redis::Value = ask(&mut connection, read).await;
        if format!("{key} {value:?}").contains(SECRET) {
            places.push(format!("the key {key}"));
        }
    }
    places
}

async fn ask<T: redis::FromRedisValue>(
    connection: &mut redis::aio::MultiplexedConnection,
    command: &[&str],
) -> T {
    let mut query = redis::cmd(command[0]);
    query.arg(&command[1..]);
    query.query_async(connection).await.expect("an answer")
}

/// Sends a creation with the secret in all its parts.
async fn create(api: &Process, chat: &Chat, text: &str, sender: &str, key: &str) -> u64 {
    let body = json!({
        "message": format!("{text} {SECRET}"),
        "sender": sender,
        "data": {SECRET: SECRET},
    });
    let key = format!("{SECRET}-{key}");
    let headers = [("idempotency-key", &*key)];
    let response = api
        .try_write("POST", format!("{chat}/message"), &headers, &body)
        .await
        .expect("a response");
    response.expect_status(201);
    response.number_field("MessageID")
}

#[apply(on_services!)]
async fn content_of_what_was_deleted_is_in_no_store(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let app = api.new_app().await;
    let (kept, deleted) = (api.new_chat(&app).await, api.new_chat(&app).await);
    let body = json!({"username": SECRET});
    let response = api.post("/application", &body).await;
    let deleted_app = App {
        id: response.text_field("Application"),
    };
    let of_app = api.new_chat(&deleted_app).await;

    // Stored and indexed content.
    let edited = create(&api, &kept, "first", ALICE, "1").await;
    api.update_message(&kept, edited, &format!("second {SECRET}"))
        .await;
    create(&api, &kept, "erased", "bob", "2").await;
    create(&api, &deleted, "in a chat", ALICE, "3").await;
    create(&api, &of_app, "in an application", ALICE, "4").await;
    for chat in [&kept, &deleted, &of_app] {
        eventually_eq("it is found", 1, async || {
            api.search_numbers(chat, SECRET).await.len().min(1)
        })
        .await;
    }
    // Content that cannot be stored, and becomes dead letters.
    fixture
        .execute("ALTER TABLE messages ADD CONSTRAINT poison CHECK (text NOT LIKE 'poison%')")
        .await;
    let dead = create(&api, &kept, "poison", ALICE, "5").await;
    create(&api, &kept, "poison, discarded", ALICE, "6").await;
    create(&api, &kept, "poison, erased", "bob", "7").await;
    create(&api, &deleted, "poison in a chat", ALICE, "8").await;
    create(&api, &of_app, "poison in an application", ALICE, "9").await;
    let letters = fixture.dead(5).await;
    let found = places(fixture).await;
    for place in ["the table messages", "the table applications", "the index"] {
        assert!(found.iter().any(|found| found == place), "{found:?}");
    }
    assert!(
        found.iter().any(|found| found.starts_with("the key ")),
        "{found:?}"
    );

    for number in [edited, dead] {
        let answer = api.send("DELETE", kept.message(number), &[], "").await;
        answer.expect_status(200);
    }
    let answer = api.send("DELETE", &deleted, &[], "").await;
    answer.expect_status(200);
    let erase = ["erase", "--application", &app.id, "--user", "bob"];
    fixture.confab(&erase).await.expect_code(0);
    let erase = ["erase", "--application", &deleted_app.id];
    fixture.confab(&erase).await.expect_code(0);
    for letter in &letters {
        // Those that are erased already are unknown.
        fixture.confab(&["jobs", "discard", letter]).await;
    }
    all_jobs_are_done(fixture).await;
    let unfinished = "SELECT COUNT(*) FROM erasures WHERE finished_at IS NULL";
    eventually_eq("all erasures end", Some(0), async || {
        fixture.stored_number(unfinished).await
    })
    .await;
    eventually_eq("nothing is left", Vec::new(), async || {
        places(fixture).await
    })
    .await;
    api.get(format!("{kept}/messages")).await.expect(200, "[]");
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    fixture.confab(&["counts", "verify"]).await.expect_code(0);
}
