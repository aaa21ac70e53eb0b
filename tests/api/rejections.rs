//! Rows and batches that the database refuses, and errors that are outages.

use serde_json::json;

use crate::{
    jobs::ONE_TRY,
    support::{Chat, Fixture, apply, concurrently, eventually_eq, on_each_backend, on_services},
};

/// A row that the database refuses by whatever error becomes a dead letter, and all other jobs are stored.
#[apply(on_each_backend!)]
async fn row_that_a_trigger_refuses_becomes_a_dead_letter(fixture: &Fixture) {
    const MESSAGES: usize = 200;
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("it is stored", 1, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    // The texts of other errors, also of lost connections, are no evidence.
    for (message, error) in [
        ("poison", "refused by a trigger"),
        ("more poison", "Input/output error: connection closed"),
        ("worse poison", "Lock wait timeout exceeded"),
    ] {
        let condition = format!("= '{message}'");
        fixture.refuse_texts("INSERT", &condition, error).await;
    }
    let poison = [(20, "poison"), (100, "more poison"), (150, "worse poison")];
    concurrently(MESSAGES, |n| {
        let (api, chat) = (api.client(), chat.clone());
        let text = poison.iter().find(|(position, _)| *position == n);
        let text = text.map_or("hello", |(_, text)| text);
        async move {
            api.create_message(&chat, text).await;
        }
    })
    .await;
    eventually_eq("all others are stored", MESSAGES + 1 - 3, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    fixture.dead(3).await;
    // An update of a stored message is a job like any other.
    api.update_message(&chat, 1, "hello again").await;
    eventually_eq(
        "the update is stored",
        "hello again".to_owned(),
        async || fixture.stored_messages(&chat).await.remove(0).1,
    )
    .await;
}

#[apply(on_services!)]
async fn batch_over_the_packet_limit_is_split_and_stored(fixture: &Fixture) {
    const LIMIT: &str = "?max_allowed_packet=32768";
    let url = format!("{}{LIMIT}", fixture.services().mysql_url);
    let idle = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let chat = idle.new_app_and_chat().await;
    // 300 KB in one batch.
    let text = "x".repeat(3000);
    for _ in 0..100 {
        idle.create_message(&chat, &text).await;
    }
    idle.create_message(&chat, &"😀".repeat(16_000)).await;
    idle.create_message(&chat, "hello").await;
    drop(idle);

    let settings = [ONE_TRY[0], ("CONFAB_SERVICES__MYSQL_URL", &url)];
    let api = fixture.start_with(&settings).await;
    eventually_eq("all others are stored", 101, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    fixture.dead(1).await;
    eventually_eq("the last one is found", vec![102], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
}

/// A count that the database refuses to change delays no other count, and is right once the database takes it.
#[apply(on_services!)]
async fn count_that_a_trigger_refuses_delays_no_other(fixture: &Fixture) {
    // One delta in each step.
    let api = fixture.start_with(&[("CONFAB_WORKERS__BATCH", "1")]).await;
    let refused = api.new_app_and_chat().await;
    let other = api.new_app_and_chat().await;
    let has = async |chat: &Chat, count: u32| {
        eventually_eq("the count", json!(count), async || {
            api.messages_count(chat).await
        })
        .await;
    };
    for chat in [&refused, &other] {
        api.create_message(chat, "hello").await;
        has(chat, 1).await;
    }
    fixture
        .execute_unprepared(&format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON chats FOR EACH ROW IF NEW.app = '{}' THEN \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by a trigger'; END IF",
            refused.app
        ))
        .await;
    for _ in 0..3 {
        api.create_message(&refused, "hello again").await;
        api.create_message(&other, "hello again").await;
    }
    has(&other, 4).await;
    assert_eq!(api.messages_count(&refused).await, json!(1));
    fixture.execute_unprepared("DROP TRIGGER refuse").await;
    has(&refused, 4).await;
}

/// After a failover behind the same address, open connections lead to the demoted server.
#[apply(on_services!)]
async fn read_only_server_is_an_outage_that_gets_new_connections(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    for number in 1..=3 {
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    eventually_eq("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    // Connections opened until now are refused as a server with read_only does it.
    fixture.execute("CREATE TABLE failover (last BIGINT)").await;
    fixture
        .execute("INSERT INTO failover VALUES (CONNECTION_ID())")
        .await;
    fixture
        .execute_unprepared(
            "CREATE TRIGGER demoted BEFORE INSERT ON messages FOR EACH ROW \
             IF CONNECTION_ID() <= (SELECT last FROM failover) THEN \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT = 'read-only'; END IF",
        )
        .await;
    // Reads keep the old connections in use.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let reader = {
        let (api, chat) = (api.client(), chat.clone());
        tokio::spawn(async move {
            while stopped.try_recv().is_err() {
                api.get(chat.message(1)).await.expect_status(200);
            }
        })
    };
    api.create_message(&chat, "hello").await;
    eventually_eq("it is stored", 4, async || {
        fixture.stored_messages(&chat).await.len()
    })
    .await;
    stop.send(()).expect("it still reads");
    reader.await.expect("reads succeed");
    // It has used up no try.
    fixture.dead(0).await;
}
