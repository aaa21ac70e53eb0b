//! Erasure of what was deleted, in steps.

use std::time::Duration;

use confab::{
    domain::{ChatKey, Kind, Message, MessageKey, Revision, Write},
    maintenance::unwatched,
};

use crate::{
    deletions::{any_lease, delete_application, delete_chat},
    support::{Fixture, apply, on_each_backend, on_services},
    test_stores::{LONG_LEASE, TestStores, WHOLE_LIST, revision},
};

/// Stores and indexes more messages like this one, up to this number.
async fn store_many(stores: &TestStores, like: &Message, last: u64) {
    let lease = any_lease(&stores.backend, Kind::CreateMessage).await;
    let message = |number: u64| Message {
        key: MessageKey { number, ..like.key },
        revision: revision(like, number as i64),
        ..like.clone()
    };
    let messages: Vec<Message> = (like.key.number + 1..=last).map(message).collect();
    for batch in messages.chunks(1000) {
        stores.store_messages(&lease, batch).await.expect("stored");
    }
    stores.apply_counts_and_outbox().await;
}

async fn first_message(stores: &TestStores, chat: ChatKey) -> Message {
    let key = stores.create_message(chat, "secret").await;
    stores.drain().await;
    stores.stored(key).await.expect("stored")
}

async fn rows(fixture: &Fixture, table: &str) -> i64 {
    let query = format!("SELECT COUNT(*) FROM {table}");
    fixture.stored_number(&query).await.expect("a number")
}

/// Fails the claimed jobs of a kind.
async fn fail(stores: &TestStores, kind: Kind, retry_after: Option<Duration>) -> Revision {
    let batch = stores.claim_some(kind, 1, LONG_LEASE).await.expect("a job");
    let failed = stores
        .backend
        .fail(&batch.lease, &batch.jobs[0], "why: secret", retry_after);
    failed.await.expect("failed");
    batch.jobs[0].revision
}

#[apply(on_services!)]
async fn large_chat_is_erased_in_steps_by_changing_processes(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let first = first_message(&stores, chat).await;
    store_many(&stores, &first, 5000).await;
    // Another chat of the application stays.
    let number = stores.number(Write::create_chat(chat.app)).await;
    let other = ChatKey { number, ..chat };
    first_message(&stores, other).await;

    delete_chat(&stores, chat, &first).await;
    let mut left = 5001;
    let mut process = stores.open_again();
    while process.erase_step(700).await.expect("a step") {
        let now = rows(fixture, "messages").await;
        assert!(left - now <= 700, "{left} {now}");
        left = now;
        process = stores.open_again();
    }
    assert_eq!(left, 1);
    let erasures = stores.backend.erasures(10).await.expect("a response");
    assert_eq!(erasures.len(), 1);
    assert_eq!(
        (erasures[0].chat, erasures[0].erased),
        (Some(chat.number), 5000)
    );
    assert!(erasures[0].finished_at.is_some());
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [0; 0]
    );
    assert_eq!(
        stores.search_numbers(other, "secret", &WHOLE_LIST).await,
        [1]
    );
    let verified = stores.maintenance().verify_index(false, &unwatched).await;
    assert_eq!(verified.expect("compared").findings, []);
    let late = std::slice::from_ref(&first);
    let index = &stores.services().expect("the services").elasticsearch;
    assert_eq!(index.put(None, late).await, Ok(vec![]));
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [0; 0]
    );
}

#[apply(on_services!)]
async fn erasure_removes_dead_and_delayed_jobs_with_their_texts(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let first = first_message(&stores, chat).await;
    let number = stores.number(Write::create_chat(chat.app)).await;
    let other = ChatKey { number, ..chat };
    stores.drain().await;
    stores.create_message(chat, "secret").await;
    let dead = fail(&stores, Kind::CreateMessage, None).await;
    stores.create_message(chat, "secret").await;
    let delayed = fail(&stores, Kind::CreateMessage, Some(LONG_LEASE)).await;
    stores.create_message(other, "not secret").await;
    let kept = fail(&stores, Kind::CreateMessage, None).await;

    delete_chat(&stores, chat, &first).await;
    while stores.backend.erase_step(10).await.expect("a step") {}
    for (id, exists) in [(dead, false), (delayed, false), (kept, true)] {
        let job = stores.backend.job(id).await.expect("a response");
        assert_eq!(job.is_some(), exists, "{id}");
    }
    // No key of Redis holds more about them.
    let keys = fixture.services().keys().await.expect("a response");
    let pending = format!("pending:{}:{}", chat.app, chat.number);
    assert!(!keys.iter().any(|key| key.ends_with(&pending)), "{keys:?}");

    delete_application(&stores, chat.app, &first).await;
    while stores.backend.erase_step(10).await.expect("a step") {}
    assert_eq!(stores.backend.job(kept).await, Ok(None));
    for table in [
        "messages",
        "chats",
        "idempotency_keys",
        "chats_count_deltas",
    ] {
        assert_eq!(rows(fixture, table).await, 0, "{table}");
    }
    assert_eq!(rows(fixture, "applications").await, 1);
}

/// A rebuild that runs during the erasure gets no text, and no empty document that it needs is missing.
#[apply(on_services!)]
async fn index_that_is_built_during_an_erasure_holds_no_text(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let first = first_message(&stores, chat).await;
    store_many(&stores, &first, 50).await;
    let target = stores.backend.begin_build().await.expect("an index");
    // The rebuild has read these rows, and puts them after their erasure.
    let read = stores.backend.scan_rows(None, 1000).await.expect("rows");
    assert_eq!(read[0].text, "secret");
    delete_chat(&stores, chat, &first).await;
    // What is read from now on has no text.
    let later = stores.backend.scan_rows(None, 1000).await.expect("rows");
    assert!(later.iter().all(|message| message.text.is_empty()));
    while stores.backend.erase_step(20).await.expect("a step") {}
    let put = stores.backend.put_documents(Some(&target), &read).await;
    assert_eq!(put, Ok(vec![]));
    stores.backend.finish_build(&target).await.expect("in use");
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [0; 0]
    );
    let verified = stores.maintenance().verify_index(false, &unwatched).await;
    assert_eq!(verified.expect("compared").findings, []);
}

#[apply(on_each_backend!)]
async fn erasure_of_a_sender_deletes_stored_and_queued_messages(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let send = async |sender: &str| {
        let write = Write::create_message(chat, "secret").with_sender(Some(sender));
        let number = stores.number(write).await;
        MessageKey { chat, number }
    };
    let (stored, updated, other) = (
        send("alice").await,
        send("alice").await,
        send("alice ").await,
    );
    stores.drain().await;
    let queued = send("alice").await;
    let id = stores.backend.erase_sender(chat.app, "alice").await;
    // The update is accepted later, and the message was created before.
    stores.update_message(updated, "changed").await;
    let later = send("alice").await;
    while stores.backend.erase_step(10).await.expect("a step") {}
    for key in [stored, updated, queued] {
        assert_eq!(stores.read(key).await, None, "{key}");
    }
    stores.drain().await;
    for key in [stored, updated, queued] {
        assert_eq!(stores.read(key).await, None, "{key}");
    }
    for key in [other, later] {
        assert!(stores.read(key).await.is_some(), "{key}");
    }
    let erasures = stores.backend.erasures(10).await.expect("a response");
    let erasure = &erasures[0];
    assert_eq!(Ok(erasure.id), id);
    assert_eq!(
        (erasure.user.as_deref(), erasure.erased),
        (Some("alice"), 3)
    );
    assert!(erasure.finished_at.is_some());
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [other.number, later.number]
    );
}

/// The position in a scan of Redis is worthless on another server.
#[apply(on_services!)]
async fn erasure_continues_after_redis_is_emptied(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let first = first_message(&stores, chat).await;
    delete_chat(&stores, chat, &first).await;
    assert_eq!(stores.backend.erase_step(10).await, Ok(true));
    let removed = fixture.services().remove_keys().await;
    removed.expect("removed");
    while stores.backend.erase_step(10).await.expect("a step") {}
    assert_eq!(rows(fixture, "messages").await, 0);
}
