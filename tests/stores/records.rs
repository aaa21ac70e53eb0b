//! [`Records`](confab::stores::Backend): storing in any order and any number of times, counting, locking.

use std::time::Duration;

use chrono::TimeDelta;
use confab::{
    domain::{Kind, Message, MessageKey, Page},
    stores::{Error, Lease},
};

use crate::{
    rig::{ALL, Rig, revision, services},
    support::{Proxy, Site, eventually, on_each_backing, on_services},
};

/// A message as the queue would give it, and the lease to store it under.
async fn claimed(rig: &Rig) -> (Lease, Message) {
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "created").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    (batch.lease, rig.pending(message).await.expect("readable"))
}

async fn the_newest_write_wins_in_whatever_order_they_are_stored(site: &Site) {
    let rig = Rig::new(site).await;
    let (lease, created) = claimed(&rig).await;
    let updated = |by: i64| Message {
        text: format!("update {by}"),
        revision: revision(&created, by),
        updated_at: Some(created.created_at + TimeDelta::seconds(by)),
        // Of an update alone nobody knows since when its message exists.
        created_at: created.created_at + TimeDelta::seconds(by),
        ..created.clone()
    };
    let expected = Message {
        created_at: created.created_at,
        ..updated(3)
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [3, 3, 0, 0]] {
        // A message of its own for each order.
        let chat = rig.new_chat().await;
        let key = rig.say(chat, "created").await;
        for by in order {
            let write = if by == 0 {
                created.clone()
            } else {
                updated(by)
            };
            let write = Message { key, ..write };
            let stored = rig.store_messages(&lease, &[write]).await;
            assert_eq!(stored, Ok(()));
        }
        let expected = Message {
            key,
            ..expected.clone()
        };
        assert_eq!(rig.stored(key).await, Some(expected), "{order:?}");
    }
    // And in one batch.
    let batch = [updated(2), created.clone(), updated(3), updated(1)];
    rig.store_messages(&lease, &batch).await.expect("stored");
    assert_eq!(rig.stored(created.key).await, Some(expected));
}

async fn what_is_stored_twice_is_counted_once(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for n in 0..5 {
        rig.say(chat, &format!("message {n}")).await;
    }
    let chats = rig.claim(Kind::CreateChat).await;
    let messages = rig.claim(Kind::CreateMessage).await;
    for _ in 0..3 {
        rig.store(&messages).await.expect("stored");
        rig.store(&chats).await.expect("stored");
    }
    rig.drain().await;
    let chat = rig.backend.chat(chat).await.expect("an answer");
    let chat = chat.value.expect("stored");
    assert_eq!(chat.messages_count, Some(5));
    let stored = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        chat.key.app
    );
    assert_eq!(site.stored_number(&stored).await, Some(1));
    let wrong = rig.backend.recount_messages(None, 100, false).await;
    assert_eq!(wrong.expect("counted").findings, []);
}

async fn a_message_may_be_stored_before_its_chat(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "early").await;
    let messages = rig.claim(Kind::CreateMessage).await;
    rig.store(&messages).await.expect("stored");
    rig.feed().await;
    assert_eq!(rig.stored(message).await.expect("stored").text, "early");
    rig.drain().await;
    let chat = rig.backend.chat(chat).await.expect("an answer");
    assert_eq!(chat.value.expect("stored").messages_count, Some(1));
}

async fn a_text_that_does_not_fit_is_refused_and_nothing_of_its_batch_stored(site: &Site) {
    let rig = Rig::new(site).await;
    let (lease, good) = claimed(&rig).await;
    let spoilt = Message {
        key: MessageKey {
            number: 2,
            ..good.key
        },
        text: "x".repeat(70_000),
        ..good.clone()
    };
    let batch = [good.clone(), spoilt];
    let outcome = rig.store_messages(&lease, &batch).await;
    assert!(
        matches!(outcome, Err(Error::Rejected { .. })),
        "{outcome:?}"
    );
    assert_eq!(rig.stored(good.key).await, None);
}

async fn rows_are_listed_in_pages(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for n in 1..=5 {
        rig.say(chat, &format!("message {n}")).await;
    }
    rig.drain().await;
    let records = &rig.backend;
    let numbers = async |after, before, limit| {
        let page = Page {
            after,
            before,
            limit,
        };
        let messages = records.messages(chat, &page).await.expect("an answer");
        let messages = messages.value.items;
        messages
            .iter()
            .map(|message| message.key.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(None, None, 2).await, [1, 2]);
    assert_eq!(numbers(Some(3), None, 9).await, [4, 5]);
    assert_eq!(numbers(None, Some(4), 2).await, [2, 3]);
    assert_eq!(numbers(Some(1), Some(5), 2).await, [2, 3]);
    let chats = records.chats(chat.app, &ALL).await.expect("an answer");
    assert_eq!(chats.value.items.len(), 1);

    // The way through everything, in steps.
    let mut after = None;
    for number in 1..=5 {
        let step = records.scan_rows(after, 1).await.expect("an answer");
        assert_eq!(step[0].key, MessageKey { chat, number });
        after = Some(step[0].key);
    }
    assert_eq!(records.scan_rows(after, 1).await, Ok(vec![]));
}

async fn migrating_twice_and_at_once_does_no_harm(site: &Site) {
    let rig = Rig::new(site).await;
    let other = rig.another();
    let (one, two) = tokio::join!(rig.backend.migrate(), other.migrate());
    assert_eq!((one, two), (Ok(()), Ok(())));
}

async fn a_migration_that_was_cut_off_is_finished(site: &Site) {
    let rig = Rig::new(site).await;
    // As a process leaves it that is killed half way: MySQL commits after each statement.
    site.execute("DROP TABLE messages, outbox").await;
    site.execute("DELETE FROM __diesel_schema_migrations").await;
    assert_eq!(rig.backend.migrate().await, Ok(()));
    let message = rig.say(rig.new_chat().await, "hello").await;
    rig.drain().await;
    assert_eq!(rig.stored(message).await.expect("stored").text, "hello");
}

async fn a_lock_is_one_holders_until_he_lets_go(site: &Site) {
    let rig = Rig::new(site).await;
    let records = &rig.backend;
    let now = Duration::ZERO;
    let mut lock = records
        .lock("mine", now)
        .await
        .expect("an answer")
        .expect("free");
    assert!(lock.is_held().await);
    assert!(
        records
            .lock("mine", now)
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(
        records
            .lock("another", now)
            .await
            .expect("an answer")
            .is_some()
    );
    drop(lock);
    eventually("the lock is free again", async || {
        records
            .lock("mine", now)
            .await
            .expect("an answer")
            .ok_or("still held")
    })
    .await;
}

/// A client that goes away takes his request with him, wherever that is.
async fn a_call_that_is_given_up_leaves_its_answer_to_nobody(site: &Site) {
    let mut proxy = Proxy::refusing(&site.services().mysql_url);
    proxy.open().await;
    let rig = Rig::new(site).await;
    let (given_up, asked) = (rig.new_chat().await, rig.new_chat().await);
    rig.drain().await;
    let stores = rig.elsewhere(&[("CONFAB_SERVICES__MYSQL_URL", &proxy.url())]);
    let services = services(&stores).expect("the services");
    let read = async |key| {
        services
            .mysql
            .chat(key)
            .await
            .map(|chat| chat.map(|chat| chat.key))
    };
    assert_eq!(read(given_up).await, Ok(Some(given_up)));
    proxy.hang();
    let moment = Duration::from_millis(200);
    let answered = tokio::time::timeout(moment, read(given_up)).await;
    assert!(answered.is_err(), "{answered:?}");
    proxy.resume();
    assert_eq!(read(asked).await, Ok(Some(asked)));
}

on_each_backing!(
    the_newest_write_wins_in_whatever_order_they_are_stored,
    what_is_stored_twice_is_counted_once,
    a_message_may_be_stored_before_its_chat,
    a_text_that_does_not_fit_is_refused_and_nothing_of_its_batch_stored,
    rows_are_listed_in_pages,
    migrating_twice_and_at_once_does_no_harm,
    a_lock_is_one_holders_until_he_lets_go,
);

on_services!(
    a_call_that_is_given_up_leaves_its_answer_to_nobody,
    a_migration_that_was_cut_off_is_finished
);
