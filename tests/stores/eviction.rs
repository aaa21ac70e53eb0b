//! Eviction of counters that were not used for a while.

use std::time::Duration;

use confab::{
    domain::{ChatKey, Kind, MessageKey, Revision, Write},
    stores::{
        Enqueued,
        services::redis::{CounterKey, Fact, Redis, Stamp, StoredCounter},
    },
};

use crate::{
    support::{DedicatedRedis, Fixture, apply, on_services},
    test_stores::TestStores,
};

/// Opens stores with a Redis of their own, so that few calls see all keys.
async fn open(fixture: &Fixture) -> (TestStores, DedicatedRedis) {
    let redis = DedicatedRedis::durable(fixture).await;
    let settings = [("CONFAB_SERVICES__REDIS_URL", &*redis.url)];
    (TestStores::with(fixture, &settings).await, redis)
}

fn redis(stores: &TestStores) -> &Redis {
    &stores.services().expect("the services").redis
}

/// Evicts all idle counters: the first pass marks them, the second removes them. Returns how many.
async fn evict(stores: &TestStores, idle: Duration) -> u64 {
    let mut evicted = 0;
    for _ in 0..4 {
        let step = redis(stores).evict(idle).await.expect("a response");
        evicted += step.counters;
        let services = stores.services().expect("the services");
        services.verify(&step.unverified).await.expect("a response");
        tokio::time::sleep(step.wait).await;
    }
    evicted
}

#[apply(on_services!)]
async fn numbers_continue_after_idle_counters_are_evicted(fixture: &Fixture) {
    let (stores, _redis) = open(fixture).await;
    let chat = stores.new_chat().await;
    for n in 1..=3 {
        stores.create_message(chat, &format!("message {n}")).await;
    }
    stores.drain().await;
    assert_eq!(evict(&stores, Duration::from_secs(60)).await, 0);
    assert_eq!(evict(&stores, Duration::ZERO).await, 2);
    assert_eq!(evict(&stores, Duration::ZERO).await, 0);
    let second = MessageKey { chat, number: 2 };
    stores.update_message(second, "updated").await;
    assert_eq!(stores.create_message(chat, "the fourth").await.number, 4);
    assert_eq!(stores.number(Write::create_chat(chat.app)).await, 2);
    stores.drain().await;
    assert_eq!(evict(&stores, Duration::ZERO).await, 3);
    let application = stores.backend.application(chat.app).await;
    let application = application.expect("a response").value;
    assert!(matches!(application, Some((_, 2))), "{application:?}");
    assert!(
        stores
            .backend
            .has_chat(chat)
            .await
            .expect("a response")
            .value
    );
    let nowhere = ChatKey { number: 3, ..chat };
    let read = stores.backend.has_chat(nowhere).await;
    assert!(!read.expect("a response").value);
    let beyond = MessageKey { chat, number: 5 };
    let update = stores.enqueue(Write::update_message(beyond, "none"));
    assert_eq!(update.await, Ok(Enqueued::Missing));
}

#[apply(on_services!)]
async fn counters_of_unstored_jobs_are_not_evicted(fixture: &Fixture) {
    let (stores, _redis) = open(fixture).await;
    // Nothing is stored: neither the application, nor the chat, nor the message.
    let chat = stores.new_chat().await;
    assert_eq!(evict(&stores, Duration::ZERO).await, 0);
    stores.create_message(chat, "first").await;
    stores.drain().await;
    // A dead letter holds its number.
    stores.create_message(chat, "dead").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    let (lease, job) = (&batch.lease, &batch.jobs[0]);
    let failed = stores.backend.fail(lease, job, "no good", None).await;
    failed.expect("it is a dead letter");
    // Only the application is idle.
    assert_eq!(evict(&stores, Duration::ZERO).await, 1);
    assert_eq!(stores.create_message(chat, "third").await.number, 3);
    // A discarded one does too: it is deleted, so a row has its number.
    let batch = stores.claim(Kind::CreateMessage).await;
    let (lease, job) = (&batch.lease, &batch.jobs[0]);
    let failed = stores.backend.fail(lease, job, "no good", None).await;
    failed.expect("it is a dead letter");
    let discarded = stores.backend.discard(job.revision).await;
    assert_eq!(discarded, Ok(true));
    stores.drain().await;
    assert_eq!(evict(&stores, Duration::ZERO).await, 0);
    assert_eq!(stores.create_message(chat, "fourth").await.number, 4);
}

#[apply(on_services!)]
async fn fact_that_may_be_older_than_an_eviction_is_refused(fixture: &Fixture) {
    let (stores, _redis) = open(fixture).await;
    let chat = stores.new_chat().await;
    stores.drain().await;
    evict(&stores, Duration::ZERO).await;
    let key = CounterKey::Messages(chat);
    let fact = redis(&stores).counter(key).await.expect("a response");
    let Fact { stamp, .. } = fact.expect_err("the counter was evicted");
    // Meanwhile a message is stored, and the counter is evicted again.
    stores.create_message(chat, "first").await;
    stores.drain().await;
    evict(&stores, Duration::ZERO).await;
    let old = Stamp {
        at: stamp.at - 31_000,
        ..stamp
    };
    let stored = StoredCounter::Highest {
        number: 0,
        deleted_chats: 0,
    };
    let learned = redis(&stores).learn(key, old, stored).await;
    learned.expect("a response");
    let still = redis(&stores).counter(key).await.expect("a response");
    assert!(still.is_err(), "{still:?}");
    assert_eq!(stores.create_message(chat, "second").await.number, 2);
}

/// The database was restored to a state without the newest messages: their numbers are not given again.
#[apply(on_services!)]
async fn counter_above_a_restored_database_is_not_evicted(fixture: &Fixture) {
    let (stores, _redis) = open(fixture).await;
    let (ahead, equal) = (stores.new_chat().await, stores.new_chat().await);
    for chat in [ahead, equal] {
        for n in 1..=5 {
            stores.create_message(chat, &format!("message {n}")).await;
        }
    }
    stores.drain().await;
    let delete = format!(
        "DELETE FROM messages WHERE number > 3 AND app = '{}'",
        ahead.app
    );
    fixture.execute(&delete).await;
    let revision = Revision(1 << 50);
    redis(&stores)
        .raise_revisions(revision)
        .await
        .expect("a new epoch");
    // The counters of both applications and of the other chat.
    assert_eq!(evict(&stores, Duration::ZERO).await, 3);
    assert_eq!(stores.create_message(ahead, "the sixth").await.number, 6);
    assert_eq!(stores.create_message(equal, "the sixth").await.number, 6);
    stores.drain().await;
    evict(&stores, Duration::ZERO).await;
    assert_eq!(stores.create_message(ahead, "the seventh").await.number, 7);
}
