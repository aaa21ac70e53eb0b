//! Redis holds the counters of chats in use only.

use crate::support::{DedicatedRedis, Fixture, apply, eventually, on_services};
use deadpool_redis::redis::Value;

#[apply(on_services!)]
async fn counters_of_idle_chats_leave_redis(fixture: &Fixture) {
    let redis = DedicatedRedis::durable(fixture).await;
    let url = ("CONFAB_SERVICES__REDIS_URL", &*redis.url);
    let idle = ("CONFAB_SERVICES__REDIS_IDLE_S", "60");
    let api = fixture.start_with(&[url, idle]).await;
    let chat = api.new_app_and_chat().await;
    for n in 1..=3 {
        api.create_message(&chat, &format!("message {n}")).await;
    }
    let key = format!(
        "{}chat:{}:{}",
        fixture.services().redis_prefix(),
        chat.app,
        chat.number
    );
    let field = format!("HEXISTS {key} idle");
    eventually("the counter is marked as idle", async || {
        match redis.tell(&field).await {
            Ok(Value::Int(1)) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    drop(api);
    let a_minute_later = ("CONFAB_TEST_CLOCK_OFFSET_MS", "61000");
    let api = fixture.start_with(&[url, idle, a_minute_later]).await;
    let exists = format!("EXISTS {key}");
    eventually("the counter is removed", async || {
        match redis.tell(&exists).await {
            Ok(Value::Int(0)) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(api.create_message(&chat, "the fourth").await, 4);
    api.update_message(&chat, 1, "updated").await;
    assert_eq!(api.text(&chat, 1).await, "updated");
    api.get(format!("{chat}/message/9"))
        .await
        .expect_status(404);
}
