//! Redis servers that take over from each other.

use serde_json::json;

use crate::{
    readiness::wait_for_readiness,
    support::{
        Chat, Client, DedicatedRedis, Fixture, Proxy, apply, eventually, eventually_eq, on_services,
    },
};

const REDIS_URL: &str = "CONFAB_SERVICES__REDIS_URL";

/// Creates messages, which must get the numbers from `first` to `last`, and waits until all are stored.
async fn create_messages(fixture: &Fixture, api: &Client, chat: &Chat, first: u64, last: u64) {
    for number in first..=last {
        let response = eventually("a message is accepted", async || {
            let text = json!({"message": format!("message {number}")});
            let response = api.post(format!("{chat}/message"), &text).await;
            match response.status {
                201 => Ok(response),
                _ => Err(response),
            }
        })
        .await;
        assert_eq!(response.number_field("MessageID"), number);
    }
    let expected: Vec<_> = (1..=last).map(|n| (n, format!("message {n}"))).collect();
    eventually_eq("they are stored", expected, async || {
        fixture.stored_messages(chat).await
    })
    .await;
}

async fn two_servers(fixture: &Fixture) -> (DedicatedRedis, DedicatedRedis) {
    (
        DedicatedRedis::durable(fixture).await,
        DedicatedRedis::durable(fixture).await,
    )
}

#[apply(on_services!)]
async fn numbers_continue_after_redis_fails_back(fixture: &Fixture) {
    let (first, second) = two_servers(fixture).await;
    let mut proxy = Proxy::refusing(&first.url);
    proxy.open().await;
    let api = fixture.start_with(&[(REDIS_URL, &proxy.url())]).await;
    let chat = api.new_app_and_chat().await;
    create_messages(fixture, &api, &chat, 1, 40).await;
    for (redis, first) in [(&second, 41), (&first, 81), (&second, 121)] {
        proxy.redirect(&redis.url);
        proxy.cut_now();
        create_messages(fixture, &api, &chat, first, first + 39).await;
    }
}

#[apply(on_services!)]
async fn process_leaves_a_demoted_redis_that_still_answers(fixture: &Fixture) {
    let (first, second) = two_servers(fixture).await;
    let mut proxy = Proxy::refusing(&first.url);
    proxy.open().await;
    let api = fixture.start_with(&[(REDIS_URL, &proxy.url())]).await;
    let chat = api.new_app_and_chat().await;
    create_messages(fixture, &api, &chat, 1, 3).await;
    second.follow(first.port).await;
    second.promote().await;
    first.follow(second.port).await;
    // Existing connections stay at the first server.
    proxy.redirect(&second.url);
    create_messages(fixture, &api, &chat, 4, 6).await;
    wait_for_readiness(&api, 200, "ready").await;
}

#[apply(on_services!)]
async fn writes_get_503_while_redis_lacks_replicas(fixture: &Fixture) {
    let redis = DedicatedRedis::durable(fixture).await;
    let api = fixture.start_with(&[(REDIS_URL, &redis.url)]).await;
    let chat = api.new_app_and_chat().await;
    let text = json!({"message": "hello"});
    redis
        .tell("CONFIG SET min-replicas-to-write 1")
        .await
        .expect("it obeys");
    api.post(format!("{chat}/message"), &text)
        .await
        .expect_status(503);
    wait_for_readiness(&api, 503, "unavailable").await;
    redis
        .tell("CONFIG SET min-replicas-to-write 0")
        .await
        .expect("it obeys");
    api.post(format!("{chat}/message"), &text)
        .await
        .expect_status(201);
}

#[apply(on_services!)]
async fn second_master_takes_no_writes(fixture: &Fixture) {
    let (first, second) = two_servers(fixture).await;
    let mut proxy = Proxy::refusing(&second.url);
    proxy.open().await;
    let api = fixture.start_with(&[(REDIS_URL, &first.url)]).await;
    let chat = api.new_app_and_chat().await;
    wait_for_masters(&api, 1).await;
    let stray = fixture.spawn(&[(REDIS_URL, &proxy.url())]).await;
    wait_for_readiness(&stray, 503, "unavailable").await;
    eventually("the log names the reason", async || {
        let output = stray.output();
        match output.contains("use another Redis server") {
            true => Ok(()),
            false => Err(output),
        }
    })
    .await;
    let epoch = fixture.stored_number("SELECT queue_epoch FROM state").await;
    for process in [&api, &stray] {
        wait_for_masters(process, 2).await;
        eventually("the log reports it", async || {
            let output = process.output();
            match output.contains("Two Redis servers are used as master") {
                true => Ok(()),
                false => Err(output),
            }
        })
        .await;
    }
    for number in 1..=3 {
        let text = json!({"message": "hello"});
        stray
            .post(format!("{chat}/message"), &text)
            .await
            .expect_status(503);
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    assert_eq!(
        fixture.stored_number("SELECT queue_epoch FROM state").await,
        epoch
    );
    // It recovers as soon as it reaches the other processes' server.
    proxy.redirect(&first.url);
    wait_for_readiness(&stray, 200, "ready").await;
    assert_eq!(stray.create_message(&chat, "hello").await, 4);
    wait_for_masters(&api, 1).await;
}

async fn wait_for_masters(process: &crate::support::Process, count: usize) {
    let line = format!("\nconfab_redis_masters {count}\n");
    eventually("the metric counts the masters", async || {
        let response = process.admin().get("/metrics").await;
        match response.body.contains(&line) {
            true => Ok(()),
            false => Err(response.status),
        }
    })
    .await;
}
