//! Facts that only the rows hold: versions of messages, idempotency keys and deletions, in each order of look-up,
//! acknowledgement and offer.

use std::{fmt::Debug, time::Duration};

use confab::{
    domain::{ChatKey, Condition, Hash, IdempotencyKey, Kind, MessageKey, Page, Revision, Write},
    stores::{
        Enqueued,
        services::redis::{
            CounterKey, EncodedWrite, Fact, Limits, Offered, Redis, Stamp, Stored, StoredCounter,
        },
    },
};
use deadpool_redis::redis;

use crate::{
    support::{Fixture, apply, on_each_backend, on_services},
    test_stores::{TestStores, WHOLE_LIST},
};

fn of_services(stores: &TestStores) -> &Redis {
    &stores.services().expect("the services").redis
}

/// Offers a write once, with a fact if given.
async fn offer_with(redis: &Redis, write: &Write, fact: Option<(Fact, Stored)>) -> Offered {
    let mut encoded = EncodedWrite::new(write, None);
    if let Some((fact, stored)) = fact {
        encoded = encoded.with_fact(fact, stored);
    }
    let offered = redis.offer(std::iter::once(&encoded), Limits::Settings);
    offered.await.expect("a response").remove(0)
}

/// Offers a write that needs a fact, and returns the fact.
async fn needed(redis: &Redis, write: &Write) -> Fact {
    match offer_with(redis, write, None).await {
        Offered::Needs(fact) => fact,
        settled => panic!("{write:?} needs no fact: {settled:?}"),
    }
}

fn is_accepted(offered: &Offered) -> bool {
    matches!(offered, Offered::Settled(Ok(Enqueued::Accepted { .. })))
}

/// The key of a creation in an application or chat.
fn key(parent: impl Debug, key: &str, body: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        id: Hash::of([Some(format!("{parent:?}").as_str()), Some(key)]),
        body: Hash::of([Some(body)]),
    })
}

fn keyed(chat: ChatKey, text: &str) -> Write {
    Write::create_message(chat, text).with_idempotency(key(chat, "the key", text))
}

fn is(revisions: impl IntoIterator<Item = Revision>) -> Option<Condition> {
    Some(Condition::AnyOf(revisions.into_iter().collect()))
}

/// Removes keys of Redis that match a pattern, as after their time.
async fn expire(fixture: &Fixture, pattern: &str) -> usize {
    let mut connection = fixture.services().redis().await.expect("a connection");
    let start = format!("{}{pattern}", fixture.services().redis_prefix());
    let keys = fixture.services().keys().await.expect("the keys");
    let keys: Vec<String> = keys
        .into_iter()
        .filter(|key| key.starts_with(&start))
        .collect();
    for key in &keys {
        let time: i64 = redis::cmd("PTTL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("a time");
        assert!((1..=60_000).contains(&time), "{key} expires in {time} ms");
        let () = redis::cmd("DEL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("removed");
    }
    keys.len()
}

async fn missing(stores: &TestStores, writes: impl IntoIterator<Item = Write>) {
    for write in writes {
        let outcome = stores.enqueue(write.clone()).await;
        assert_eq!(outcome, Ok(Enqueued::Missing), "{write:?}");
    }
}

async fn revision(stores: &TestStores, message: MessageKey) -> Revision {
    stores.read(message).await.expect("a message").revision
}

async fn chats_count(stores: &TestStores, chat: ChatKey) -> Option<u64> {
    let read = stores.backend.application(chat.app).await;
    let read = read.expect("a response");
    assert!(!read.stale);
    read.value.map(|(_, chats)| chats)
}

/// Stores and acknowledges all jobs of a kind.
async fn process(stores: &TestStores, kind: Kind) {
    let batch = stores.claim(kind).await;
    stores.store(&batch).await.expect("stored");
    let acknowledged = stores.backend.acknowledge(&batch.lease, &batch.jobs).await;
    acknowledged.expect("acknowledged");
}

#[apply(on_each_backend!)]
async fn deleted_messages_are_gone_before_and_after_they_are_stored(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let [first, second] = ["first", "second"].map(|text| (chat, text));
    let first = stores.create_message(first.0, first.1).await;
    let second = stores.create_message(second.0, second.1).await;
    stores.number(Write::delete_message(first)).await;
    stores.drain().await;
    stores.number(Write::delete_message(second)).await;
    for stored in [false, true] {
        for message in [first, second] {
            assert_eq!(stores.read(message).await, None, "stored: {stored}");
            missing(
                &stores,
                [
                    Write::delete_message(message),
                    Write::update_message(message, "late"),
                ],
            )
            .await;
        }
        let listed = stores.backend.messages(chat, &WHOLE_LIST).await;
        assert_eq!(listed.expect("a response").value.items, []);
        stores.drain().await;
    }
    assert_eq!(stores.create_message(chat, "third").await.number, 3);
}

#[apply(on_each_backend!)]
async fn deleted_chats_are_gone_with_their_messages(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let stored = stores.create_message(chat, "stored").await;
    stores.drain().await;
    let queued = stores.create_message(chat, "queued").await;
    let number = stores.number(Write::create_chat(chat.app)).await;
    let other = ChatKey { number, ..chat };
    stores.number(Write::delete_chat(chat)).await;
    for is_stored in [false, true] {
        for message in [stored, queued] {
            assert_eq!(stores.read(message).await, None, "stored: {is_stored}");
            missing(&stores, [Write::update_message(message, "late")]).await;
        }
        let children = [
            Write::create_message(chat, "late"),
            keyed(chat, "late"),
            Write::delete_chat(chat),
        ];
        missing(&stores, children).await;
        let read = stores.backend.chat(chat).await.expect("a response");
        assert_eq!(read.value, None);
        assert!(
            !stores
                .backend
                .has_chat(chat)
                .await
                .expect("a response")
                .value
        );
        let messages = stores.backend.messages(chat, &WHOLE_LIST).await;
        assert_eq!(messages.expect("a response").value.items, []);
        let chats = stores.backend.chats(chat.app, &WHOLE_LIST).await;
        let chats = chats.expect("a response").value.items;
        let chats: Vec<ChatKey> = chats.into_iter().map(|chat| chat.key).collect();
        assert_eq!(chats, [other]);
        stores.drain().await;
    }
    assert_eq!(chats_count(&stores, chat).await, Some(1));
    assert_eq!(stores.number(Write::create_chat(chat.app)).await, 3);
    assert_eq!(chats_count(&stores, chat).await, Some(2));
}

#[apply(on_each_backend!)]
async fn deleted_applications_are_gone_with_their_chats(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "stored").await;
    stores.drain().await;
    let app = chat.app;
    stores.number(Write::delete_application(app)).await;
    for is_stored in [false, true] {
        let children = [
            Write::create_chat(app),
            Write::create_message(chat, "late"),
            Write::update_message(message, "late"),
            Write::delete_message(message),
            Write::delete_chat(chat),
            Write::delete_application(app),
        ];
        missing(&stores, children).await;
        let taken = stores
            .enqueue(Write::create_application(app, "again"))
            .await;
        assert_eq!(taken, Ok(Enqueued::Taken));
        assert_eq!(
            chats_count(&stores, chat).await,
            None,
            "stored: {is_stored}"
        );
        assert_eq!(stores.read(message).await, None);
        let read = stores.backend.chat(chat).await.expect("a response");
        assert_eq!(read.value, None);
        assert!(
            !stores
                .backend
                .has_chat(chat)
                .await
                .expect("a response")
                .value
        );
        let chats = stores.backend.chats(app, &WHOLE_LIST).await;
        assert_eq!(chats.expect("a response").value.items, []);
        stores.drain().await;
    }
}

#[apply(on_each_backend!)]
async fn only_the_last_version_fulfils_a_condition(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "first").await;
    let update = |condition| Write::update_message(message, "new").with_condition(condition);
    for is_stored in [false, true, true] {
        if is_stored {
            stores.drain().await;
        }
        let old = revision(&stores, message).await;
        assert_eq!(
            stores.enqueue(update(is([]))).await,
            Ok(Enqueued::Changed),
            "stored: {is_stored}"
        );
        stores.number(update(is([Revision(1), old]))).await;
        assert_eq!(
            stores.enqueue(update(is([old]))).await,
            Ok(Enqueued::Changed)
        );
        let new = revision(&stores, message).await;
        assert!(new > old);
        stores.number(update(Some(Condition::Exists))).await;
        assert_eq!(
            stores.enqueue(update(is([new]))).await,
            Ok(Enqueued::Changed)
        );
    }
    let delete = |condition| Write::delete_message(message).with_condition(condition);
    assert_eq!(stores.enqueue(delete(is([]))).await, Ok(Enqueued::Changed));
    let last = revision(&stores, message).await;
    stores.number(delete(is([last]))).await;
    missing(
        &stores,
        [update(is([last])), update(Some(Condition::Exists))],
    )
    .await;
}

#[apply(on_each_backend!)]
async fn conditional_updates_by_many_succeed_only_on_the_last_version(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "0").await;
    stores.drain().await;
    let first = revision(&stores, message).await;
    let stores = &stores;
    // Each client updates what it saw last, until it has succeeded ten times.
    let client = async |n: usize| {
        let mut replaced = Vec::new();
        while replaced.len() < 5 {
            let seen = revision(stores, message).await;
            let write = Write::update_message(message, format!("by {n}"));
            match stores.enqueue(write.with_condition(is([seen]))).await {
                Ok(Enqueued::Accepted { revision, .. }) => replaced.push((seen, revision)),
                Ok(Enqueued::Changed) => {}
                other => panic!("{other:?}"),
            }
        }
        replaced
    };
    let store = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stores.drain().await;
        }
    };
    let (all, ()) = tokio::join!(futures_util::future::join_all((0..20).map(client)), store);
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    all.sort_unstable();
    let mut last = first;
    for (seen, written) in all {
        assert_eq!(seen, last);
        last = written;
    }
}

#[apply(on_each_backend!)]
async fn repeated_creations_with_a_key_return_the_first(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let number = stores.number(keyed(chat, "hello")).await;
    let message = MessageKey { chat, number };
    let replayed = Ok(Enqueued::Replayed { number });
    for is_stored in [false, true] {
        assert_eq!(
            stores.enqueue(keyed(chat, "hello")).await,
            replayed,
            "{is_stored}"
        );
        let other_body =
            Write::create_message(chat, "hello").with_idempotency(key(chat, "the key", "other"));
        assert_eq!(stores.enqueue(other_body).await, Ok(Enqueued::KeyReused));
        stores.drain().await;
    }
    // Another process, whose clock is an hour ahead.
    let later = stores.open_ahead(Duration::from_secs(3600));
    assert_eq!(later.enqueue(&keyed(chat, "hello"), None).await, replayed);
    let another_key = keyed(chat, "hello").with_idempotency(key(chat, "another", "hello"));
    assert_eq!(stores.number(another_key).await, number + 1);
    let create_chat =
        || Write::create_chat(chat.app).with_idempotency(key(chat.app, "the key", "hello"));
    let chat_number = stores.number(create_chat()).await;
    let chat_replayed = Ok(Enqueued::Replayed {
        number: chat_number,
    });
    assert_eq!(stores.enqueue(create_chat()).await, chat_replayed);
    stores.drain().await;
    assert_eq!(stores.enqueue(create_chat()).await, chat_replayed);
    // The key belongs to the chat.
    let other = ChatKey {
        number: chat_number,
        ..chat
    };
    assert_eq!(stores.number(keyed(other, "hello")).await, 1);

    stores.number(Write::delete_message(message)).await;
    stores.number(Write::delete_chat(other)).await;
    for is_stored in [false, true] {
        let deleted = Ok(Enqueued::ReplayedDeleted);
        assert_eq!(
            stores.enqueue(keyed(chat, "hello")).await,
            deleted,
            "{is_stored}"
        );
        assert_eq!(stores.enqueue(create_chat()).await, deleted, "{is_stored}");
        stores.drain().await;
    }
}

#[apply(on_each_backend!)]
async fn concurrent_creations_with_one_key_create_one_message(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let other = match stores.services() {
        Some(_) => stores.open_again(),
        None => stores.backend.clone(),
    };
    let write = keyed(chat, "hello");
    let enqueue = async |n: usize| {
        let backend = if n.is_multiple_of(2) {
            &stores.backend
        } else {
            &other
        };
        backend.enqueue(&write, None).await.expect("a response")
    };
    let outcomes = futures_util::future::join_all((0..20).map(enqueue)).await;
    let first = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Enqueued::Accepted { number: 1, .. }));
    assert_eq!(first.count(), 1, "{outcomes:?}");
    let replayed = Enqueued::Replayed { number: 1 };
    let replayed = outcomes.iter().filter(|outcome| **outcome == replayed);
    assert_eq!(replayed.count(), 19, "{outcomes:?}");
}

#[apply(on_each_backend!)]
async fn replays_and_conditions_are_checked_in_a_full_queue(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let number = stores.number(keyed(chat, "hello")).await;
    let message = MessageKey { chat, number };
    stores.drain().await;
    let full = stores.open_with(&[("CONFAB_LIMITS__QUEUE_DEPTH", "1")]);
    full.enqueue(&Write::create_message(chat, "fills it"), None)
        .await
        .expect("a response");
    let another = Write::create_message(chat, "one more");
    let outcome = full.enqueue(&another, None).await;
    assert!(
        matches!(outcome, Err(confab::stores::Error::Full(_))),
        "{outcome:?}"
    );
    let replayed = full.enqueue(&keyed(chat, "hello"), None).await;
    assert_eq!(replayed, Ok(Enqueued::Replayed { number }));
    let changed = Write::update_message(message, "new").with_condition(is([]));
    assert_eq!(full.enqueue(&changed, None).await, Ok(Enqueued::Changed));
    let nowhere = MessageKey {
        number: 99,
        ..message
    };
    let nowhere = full.enqueue(&Write::delete_message(nowhere), None).await;
    assert_eq!(nowhere, Ok(Enqueued::Missing));
}

#[apply(on_services!)]
async fn facts_of_another_epoch_and_old_facts_are_refused(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "first").await;
    stores.drain().await;
    let stored = Stored::Version(revision(&stores, message).await);
    let writes = [
        (Write::update_message(message, "second"), stored),
        (keyed(chat, "keyed"), Stored::Nothing),
    ];
    for (write, stored) in writes {
        let fact = needed(of_services(&stores), &write).await;
        let Stamp { epoch, at } = fact.stamp;
        let outdated = [
            Stamp {
                epoch: epoch - 1,
                at,
            },
            Stamp {
                epoch: epoch + 1,
                at,
            },
            Stamp {
                epoch,
                at: at - 30_001,
            },
        ];
        for stamp in outdated {
            let fact = Fact { stamp, ..fact };
            let offered = offer_with(of_services(&stores), &write, Some((fact, stored))).await;
            assert!(
                matches!(offered, Offered::Needs(_)),
                "{stamp:?}: {offered:?}"
            );
        }
        // The clock of another process is 31 s ahead.
        let later = stores.open_ahead(Duration::from_secs(31));
        let later = of_backend(&later);
        let offered = offer_with(later, &write, Some((fact, stored))).await;
        assert!(matches!(offered, Offered::Needs(_)), "{offered:?}");
        let offered = offer_with(of_services(&stores), &write, Some((fact, stored))).await;
        assert!(is_accepted(&offered), "{offered:?}");
    }
}

fn of_backend(backend: &confab::stores::Backend) -> &Redis {
    &crate::test_stores::services(backend)
        .expect("the services")
        .redis
}

#[apply(on_services!)]
async fn update_stored_between_look_up_and_offer_overrides_the_fact(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "first").await;
    stores.drain().await;
    let old = revision(&stores, message).await;
    let write = Write::update_message(message, "stale").with_condition(is([old]));
    let fact = needed(of_services(&stores), &write).await;
    stores.update_message(message, "second").await;
    stores.drain().await;
    let fact = Some((fact, Stored::Version(old)));
    let offered = offer_with(of_services(&stores), &write, fact).await;
    assert_eq!(offered, Offered::Settled(Ok(Enqueued::Changed)));
    // After the time of the mark, the fact is outdated, too.
    assert_eq!(expire(fixture, "mark:").await, 1);
    let new = revision(&stores, message).await;
    let write = Write::update_message(message, "third").with_condition(is([new]));
    stores.number(write).await;
}

#[apply(on_services!)]
async fn older_update_acknowledged_later_does_not_lower_the_version(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "first").await;
    stores.drain().await;
    stores.update_message(message, "second").await;
    let older = stores.claim(Kind::UpdateMessage).await;
    stores.update_message(message, "third").await;
    let newer = stores.claim(Kind::UpdateMessage).await;
    for batch in [&newer, &older] {
        stores.store(batch).await.expect("stored");
        let acknowledged = stores.backend.acknowledge(&batch.lease, &batch.jobs).await;
        acknowledged.expect("acknowledged");
    }
    let update = |revision| Write::update_message(message, "fourth").with_condition(is([revision]));
    let changed = stores.enqueue(update(older.jobs[0].revision)).await;
    assert_eq!(changed, Ok(Enqueued::Changed));
    stores.number(update(newer.jobs[0].revision)).await;
}

#[apply(on_services!)]
async fn deletion_stored_between_look_up_and_offer_overrides_the_fact(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let number = stores.number(keyed(chat, "hello")).await;
    let message = MessageKey { chat, number };
    stores.drain().await;
    let stored = Stored::Version(revision(&stores, message).await);
    let update = Write::update_message(message, "stale");
    let fact = needed(of_services(&stores), &update).await;
    assert_eq!(expire(fixture, "key:").await, 1);
    let replay = keyed(chat, "hello");
    let fact_of_key = needed(of_services(&stores), &replay).await;
    stores.number(Write::delete_message(message)).await;
    stores.drain().await;
    let offered = offer_with(of_services(&stores), &update, Some((fact, stored))).await;
    assert_eq!(offered, Offered::Settled(Ok(Enqueued::Missing)));
    let body = replay.idempotency.map(|key| key.body);
    let creation = Stored::Creation { number, body };
    let offered = offer_with(of_services(&stores), &replay, Some((fact_of_key, creation))).await;
    assert_eq!(offered, Offered::Settled(Ok(Enqueued::ReplayedDeleted)));
    // Without marks, the rows say the same.
    assert_eq!(expire(fixture, "mark:").await, 1);
    missing(&stores, [update]).await;
    assert_eq!(stores.enqueue(replay).await, Ok(Enqueued::ReplayedDeleted));
}

#[apply(on_services!)]
async fn keyed_creation_stored_between_look_up_and_offer_overrides_the_fact(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let write = keyed(chat, "hello");
    let fact = needed(of_services(&stores), &write).await;
    let number = stores.number(write.clone()).await;
    let replayed = Offered::Settled(Ok(Enqueued::Replayed { number }));
    for _ in 0..2 {
        let nothing = Some((fact, Stored::Nothing));
        let offered = offer_with(of_services(&stores), &write, nothing).await;
        assert_eq!(offered, replayed);
        stores.drain().await;
    }
    // The key's entry expires 60 s after the message was stored; the rows hold the key.
    assert_eq!(expire(fixture, "key:").await, 1);
    let outcome = stores.enqueue(write.clone()).await;
    assert_eq!(outcome, Ok(Enqueued::Replayed { number }));
    let removed = fixture.services().remove_keys().await;
    removed.expect("removed");
    let outcome = stores.enqueue(write).await;
    assert_eq!(outcome, Ok(Enqueued::Replayed { number }));
}

#[apply(on_services!)]
async fn key_of_a_dead_creation_stays_in_use(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let write = keyed(chat, "poison");
    let number = stores.number(write.clone()).await;
    let batch = stores.claim(Kind::CreateMessage).await;
    let (lease, job) = (&batch.lease, &batch.jobs[0]);
    let failed = stores.backend.fail(lease, job, "no good", None).await;
    failed.expect("a dead letter");
    let replayed = stores.enqueue(write.clone()).await;
    assert_eq!(replayed, Ok(Enqueued::Replayed { number }));
    // Discarding it deletes the message, whose key is not free after that either.
    assert_eq!(stores.backend.discard(job.revision).await, Ok(true));
    assert_eq!(stores.read(MessageKey { chat, number }).await, None);
    assert_eq!(stores.backend.job(job.revision).await, Ok(None));
    for _ in 0..2 {
        let outcome = stores.enqueue(write.clone()).await;
        assert_eq!(outcome, Ok(Enqueued::ReplayedDeleted));
        stores.drain().await;
    }
    expire(fixture, "key:").await;
    expire(fixture, "mark:").await;
    let outcome = stores.enqueue(write).await;
    assert_eq!(outcome, Ok(Enqueued::ReplayedDeleted));
    assert_eq!(stores.create_message(chat, "next").await.number, number + 1);
}

#[apply(on_each_backend!)]
async fn stored_deletion_removes_dead_letters_of_its_message(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "poison").await;
    let other = stores.create_message(chat, "another poison").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    for job in &batch.jobs {
        let failed = stores
            .backend
            .fail(&batch.lease, job, "no good", None)
            .await;
        failed.expect("a dead letter");
    }
    stores.update_message(message, "poison again").await;
    let update = stores.claim(Kind::UpdateMessage).await;
    let failed = stores
        .backend
        .fail(&update.lease, &update.jobs[0], "no good", None)
        .await;
    failed.expect("a dead letter");
    stores.number(Write::delete_message(message)).await;
    stores.drain().await;
    let dead = stores
        .backend
        .jobs(confab::stores::JobState::Dead, None, None, 10)
        .await;
    let dead: Vec<Revision> = dead.expect("a response").iter().map(|job| job.id).collect();
    assert_eq!(dead, [batch.jobs[1].revision]);
    let kept = stores.read(other).await.expect("readable");
    assert_eq!(kept.text, "another poison");
}

/// Evicts all idle counters.
async fn evict(stores: &TestStores) {
    for _ in 0..4 {
        let evicted = of_services(stores).evict(Duration::ZERO).await;
        tokio::time::sleep(evicted.expect("a response").wait).await;
    }
}

#[apply(on_services!)]
async fn chat_deleted_while_its_counter_is_evicted_stays_deleted(fixture: &Fixture) {
    let dedicated = crate::support::DedicatedRedis::durable(fixture).await;
    let settings = [("CONFAB_SERVICES__REDIS_URL", &*dedicated.url)];
    let stores = TestStores::with(fixture, &settings).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    stores.drain().await;
    evict(&stores).await;
    let owner = CounterKey::Messages(chat);
    let fact = of_services(&stores).counter(owner).await;
    let fact = fact
        .expect("a response")
        .expect_err("the counter is evicted");
    stores.number(Write::delete_chat(chat)).await;
    // The counter of a chat with a queued deletion is not evicted.
    evict(&stores).await;
    let before = StoredCounter::Highest {
        number: 1,
        deleted_chats: 0,
    };
    let learned = of_services(&stores).learn(owner, fact.stamp, before).await;
    assert_eq!(learned, Ok(true));
    missing(&stores, [Write::create_message(chat, "late")]).await;
    stores.drain().await;
    let learned = of_services(&stores).learn(owner, fact.stamp, before).await;
    assert_eq!(learned, Ok(true));
    missing(&stores, [Write::create_message(chat, "late")]).await;
    evict(&stores).await;
    // It is evicted 60 s after its last use at the earliest, so this fact is too old.
    let stamp = Stamp {
        at: fact.stamp.at - 60_000,
        ..fact.stamp
    };
    let learned = of_services(&stores).learn(owner, stamp, before).await;
    assert_eq!(learned, Ok(true));
    missing(
        &stores,
        [
            Write::create_message(chat, "late"),
            Write::update_message(message, "late"),
            Write::delete_chat(chat),
        ],
    )
    .await;
    assert_eq!(chats_count(&stores, chat).await, Some(0));
    assert_eq!(stores.number(Write::create_chat(chat.app)).await, 2);
}

#[apply(on_services!)]
async fn number_of_deleted_chats_is_not_learned_from_before_a_deletion(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let number = stores.number(Write::create_chat(chat.app)).await;
    stores.drain().await;
    let owner = CounterKey::Chats(chat.app);
    stores.number(Write::delete_chat(chat)).await;
    process(&stores, Kind::DeleteChat).await;
    let fact = of_services(&stores).counter(owner).await;
    let fact = fact.expect("a response").expect_err("it has to be counted");
    stores
        .number(Write::delete_chat(ChatKey { number, ..chat }))
        .await;
    process(&stores, Kind::DeleteChat).await;
    let before = StoredCounter::Highest {
        number: 2,
        deleted_chats: 1,
    };
    let learned = of_services(&stores).learn(owner, fact.stamp, before).await;
    assert_eq!(learned, Ok(true));
    assert_eq!(chats_count(&stores, chat).await, Some(0));
}

#[apply(on_services!)]
async fn deletions_are_seen_without_redis(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let number = stores.number(Write::create_chat(chat.app)).await;
    let deleted_chat = ChatKey { number, ..chat };
    let kept = stores.create_message(chat, "kept").await;
    let deleted = stores.create_message(chat, "deleted").await;
    let child = stores.create_message(deleted_chat, "child").await;
    stores.drain().await;
    stores.number(Write::delete_message(deleted)).await;
    stores.number(Write::delete_chat(deleted_chat)).await;
    stores.drain().await;
    let nowhere = [("CONFAB_SERVICES__REDIS_URL", "redis://127.0.0.1:1")];
    let stale = stores.open_with(&nowhere);
    let read = async |message| {
        let read = stale.message(message).await.expect("a response");
        assert!(read.stale);
        read.value.map(|message| message.text)
    };
    assert_eq!(read(kept).await.as_deref(), Some("kept"));
    assert_eq!(read(deleted).await, None);
    assert_eq!(read(child).await, None);
    let unknown = stale.message(MessageKey { number: 9, ..kept }).await;
    assert!(unknown.is_err_and(|error| error.is_outage()));
    assert!(
        !stale
            .has_chat(deleted_chat)
            .await
            .expect("a response")
            .value
    );
    assert!(
        stale
            .chat(deleted_chat)
            .await
            .expect("a response")
            .value
            .is_none()
    );
    let chats = stale
        .chats(chat.app, &WHOLE_LIST)
        .await
        .expect("a response");
    assert_eq!(chats.value.items.len(), 1);
    let messages = stale.messages(chat, &WHOLE_LIST).await.expect("a response");
    assert_eq!(messages.value.items.len(), 1);
    let page = Page::only(1);
    let messages = stale
        .messages(deleted_chat, &page)
        .await
        .expect("a response");
    assert_eq!(messages.value.items, []);

    stores.number(Write::delete_application(chat.app)).await;
    stores.drain().await;
    assert!(
        stale
            .application(chat.app)
            .await
            .expect("a response")
            .value
            .is_none()
    );
    assert_eq!(read(kept).await, None);
    assert!(!stale.has_chat(chat).await.expect("a response").value);
}

#[apply(on_services!)]
async fn deletions_hold_after_redis_is_emptied(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let number = stores.number(Write::create_chat(chat.app)).await;
    let other = ChatKey { number, ..chat };
    let message = stores.create_message(chat, "hello").await;
    let of_app = stores.new_chat().await;
    stores.drain().await;
    stores.number(Write::delete_message(message)).await;
    stores.number(Write::delete_chat(other)).await;
    stores.number(Write::delete_application(of_app.app)).await;
    stores.drain().await;
    let removed = fixture.services().remove_keys().await;
    removed.expect("removed");
    missing(
        &stores,
        [
            Write::update_message(message, "late"),
            Write::create_message(other, "late"),
            Write::create_message(of_app, "late"),
            Write::create_chat(of_app.app),
        ],
    )
    .await;
    assert_eq!(chats_count(&stores, chat).await, Some(1));
    assert_eq!(chats_count(&stores, of_app).await, None);
    assert_eq!(stores.create_message(chat, "next").await.number, 2);
    assert_eq!(stores.number(Write::create_chat(chat.app)).await, 3);
}
