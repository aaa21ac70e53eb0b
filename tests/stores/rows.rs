//! The rows: storing in any order and repeatedly, counting, locking.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use confab::{
    domain::{Kind, Message, MessageKey, Page},
    stores::{Error, Lease},
};
use diesel::{QueryableByName, sql_types::BigInt};
use diesel_async::SimpleAsyncConnection as _;

use crate::{
    support::{Fixture, Proxy, apply, eventually, on_each_backend, on_services},
    test_stores::{TestStores, WHOLE_LIST, revision, services},
};

/// A message as the queue returns it, and the lease to store it under.
async fn claimed(stores: &TestStores) -> (Lease, Message) {
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "created").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    (
        batch.lease,
        stores.pending(message).await.expect("readable"),
    )
}

#[apply(on_each_backend!)]
async fn newest_write_wins_in_any_storing_order(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let (lease, created) = claimed(&stores).await;
    let created = Message {
        sender: Some("alice".into()),
        data: Some("{}".into()),
        ..created
    };
    let updated = |by: i64| Message {
        text: format!("update {by}"),
        data: (by > 1).then(|| format!("{{\"by\":{by}}}")),
        sender: None,
        revision: revision(&created, by),
        updated_at: Some(created.created_at + TimeDelta::seconds(by)),
        // An update alone does not tell when and by whom its message was created.
        created_at: created.created_at + TimeDelta::seconds(by),
        ..created.clone()
    };
    let expected = Message {
        created_at: created.created_at,
        sender: created.sender.clone(),
        ..updated(3)
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [3, 3, 0, 0]] {
        // Another message for each order.
        let chat = stores.new_chat().await;
        let key = stores.create_message(chat, "created").await;
        for by in order {
            let write = if by == 0 {
                created.clone()
            } else {
                updated(by)
            };
            let write = Message { key, ..write };
            let stored = stores.store_messages(&lease, &[write]).await;
            assert_eq!(stored, Ok(()));
        }
        let expected = Message {
            key,
            ..expected.clone()
        };
        assert_eq!(stores.stored(key).await, Some(expected), "{order:?}");
    }
    // The same in one batch.
    let batch = [updated(2), created.clone(), updated(3), updated(1)];
    stores.store_messages(&lease, &batch).await.expect("stored");
    assert_eq!(stores.stored(created.key).await, Some(expected));
}

#[apply(on_each_backend!)]
async fn rows_stored_twice_are_counted_once(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for n in 0..5 {
        stores.create_message(chat, &format!("message {n}")).await;
    }
    let chats = stores.claim(Kind::CreateChat).await;
    let messages = stores.claim(Kind::CreateMessage).await;
    for _ in 0..3 {
        stores.store(&messages).await.expect("stored");
        stores.store(&chats).await.expect("stored");
    }
    stores.drain().await;
    let chat = stores.backend.chat(chat).await.expect("a response");
    let chat = chat.value.expect("stored");
    assert_eq!(chat.messages_count, Some(5));
    let stored = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        chat.key.app
    );
    assert_eq!(fixture.stored_number(&stored).await, Some(1));
    let wrong = stores.backend.recount_messages(None, 100, false).await;
    assert_eq!(wrong.expect("counted").findings, []);
}

#[apply(on_each_backend!)]
async fn message_can_be_stored_before_its_chat(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "early").await;
    let messages = stores.claim(Kind::CreateMessage).await;
    stores.store(&messages).await.expect("stored");
    stores.apply_counts_and_outbox().await;
    assert_eq!(stores.stored(message).await.expect("stored").text, "early");
    stores.drain().await;
    let chat = stores.backend.chat(chat).await.expect("a response");
    assert_eq!(chat.value.expect("stored").messages_count, Some(1));
}

#[apply(on_each_backend!)]
async fn oversized_text_is_rejected_with_its_whole_batch(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let (lease, valid) = claimed(&stores).await;
    let oversized = Message {
        key: MessageKey {
            number: 2,
            ..valid.key
        },
        text: "x".repeat(70_000),
        ..valid.clone()
    };
    let batch = [valid.clone(), oversized];
    let outcome = stores.store_messages(&lease, &batch).await;
    assert!(
        matches!(outcome, Err(Error::Rejected { .. })),
        "{outcome:?}"
    );
    assert_eq!(stores.stored(valid.key).await, None);
}

#[apply(on_each_backend!)]
async fn rows_are_listed_in_pages(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for n in 1..=5 {
        stores.create_message(chat, &format!("message {n}")).await;
    }
    stores.drain().await;
    let records = &stores.backend;
    let numbers = async |after, before, limit| {
        let page = Page {
            after,
            before,
            limit,
            ..WHOLE_LIST
        };
        let messages = records.messages(chat, &page).await.expect("a response");
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
    let chats = records
        .chats(chat.app, &WHOLE_LIST)
        .await
        .expect("a response");
    assert_eq!(chats.value.items.len(), 1);

    // Scans all rows, page by page.
    let mut after = None;
    for number in 1..=5 {
        let step = records.scan_rows(after, 1).await.expect("a response");
        assert_eq!(step[0].key, MessageKey { chat, number });
        after = Some(step[0].key);
    }
    assert_eq!(records.scan_rows(after, 1).await, Ok(vec![]));
}

#[apply(on_each_backend!)]
async fn repeated_and_concurrent_migrations_succeed(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let other = stores.open_again();
    let (one, two) = tokio::join!(stores.backend.migrate(), other.migrate());
    assert_eq!((one, two), (Ok(()), Ok(())));
}

#[apply(on_services!)]
async fn interrupted_migration_is_completed(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    // The state after a process was killed during a migration: MySQL commits after each statement.
    fixture.execute("DROP TABLE messages, outbox, state").await;
    fixture
        .execute("DELETE FROM __diesel_schema_migrations")
        .await;
    assert_eq!(stores.backend.migrate().await, Ok(()));
    let message = stores
        .create_message(stores.new_chat().await, "hello")
        .await;
    stores.drain().await;
    assert_eq!(stores.stored(message).await.expect("stored").text, "hello");
}

#[apply(on_each_backend!)]
async fn lock_is_exclusive_until_released(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let records = &stores.backend;
    let now = Duration::ZERO;
    let mut lock = records
        .lock("mine", now)
        .await
        .expect("a response")
        .expect("free");
    assert!(lock.is_held().await);
    assert!(
        records
            .lock("mine", now)
            .await
            .expect("a response")
            .is_none()
    );
    assert!(
        records
            .lock("another", now)
            .await
            .expect("a response")
            .is_some()
    );
    drop(lock);
    eventually("the lock is free again", async || {
        records
            .lock("mine", now)
            .await
            .expect("a response")
            .ok_or("still held")
    })
    .await;
}

/// A cancelled call must not leave its response on a pooled connection.
#[apply(on_services!)]
async fn response_of_a_cancelled_call_is_not_delivered_to_another(fixture: &Fixture) {
    let mut proxy = Proxy::refusing(&fixture.services().mysql_url);
    proxy.open().await;
    let stores = TestStores::new(fixture).await;
    let (given_up, asked) = (stores.new_chat().await, stores.new_chat().await);
    stores.drain().await;
    let other = stores.open_with(&[("CONFAB_SERVICES__MYSQL_URL", &proxy.url())]);
    let services = services(&other).expect("the services");
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

/// IDs of the connections to the test's database that wait for a lock on a table.
async fn waiting_connections(fixture: &Fixture) -> BTreeSet<u64> {
    #[derive(QueryableByName)]
    struct Connection {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let query = "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist \
                 WHERE db = DATABASE() AND state LIKE 'Waiting for table%'";
    let mut connection = fixture.services().mysql().await;
    let rows = diesel_async::RunQueryDsl::load(diesel::sql_query(query), &mut connection);
    // The query fails at a moment when a statement of another test is shown, and cut within a character.
    let rows: Vec<Connection> = rows.await.unwrap_or_default();
    rows.into_iter().map(|row| row.id.unsigned_abs()).collect()
}

/// A client that disconnects during its read must not cost the others their connections.
#[apply(on_services!)]
async fn aborted_read_closes_only_its_own_connection(fixture: &Fixture) {
    const CONNECTIONS: usize = 4;
    let stores = TestStores::new(fixture).await;
    let pool = CONNECTIONS.to_string();
    let other = stores.open_with(&[
        ("CONFAB_SERVICES__MYSQL_CONNECTIONS", &*pool),
        ("CONFAB_SERVICES__TIMEOUT_MS", "600000"),
    ]);
    let read = || {
        let other = other.clone();
        tokio::spawn(async move { other.scan_rows(None, 10).await.map(drop) })
    };
    // Reads wait while the table is locked, so each takes a connection of its own.
    let lock = async || {
        let mut lock = fixture.services().mysql().await;
        lock.batch_execute("LOCK TABLES messages WRITE")
            .await
            .expect("locked");
        lock
    };
    let waiting = async |count: usize| {
        eventually("the reads wait", async || {
            let waiting = waiting_connections(fixture).await;
            if waiting.len() == count {
                Ok(waiting)
            } else {
                Err(waiting)
            }
        })
        .await
    };

    let locked = lock().await;
    let reads: Vec<_> = (0..CONNECTIONS).map(|_| read()).collect();
    let opened = waiting(CONNECTIONS).await;
    drop(locked);
    for read in reads {
        assert_eq!(read.await.expect("no panic"), Ok(()));
    }

    let locked = lock().await;
    let aborted = read();
    let lost = waiting(1).await;
    assert!(lost.is_subset(&opened), "{lost:?} of {opened:?}");
    aborted.abort();
    assert!(aborted.await.is_err_and(|error| error.is_cancelled()));
    let reads: Vec<_> = (0..CONNECTIONS).map(|_| read()).collect();
    let others: BTreeSet<u64> = eventually("the reads wait", async || {
        let waiting = waiting_connections(fixture).await;
        let others: BTreeSet<u64> = waiting.difference(&lost).copied().collect();
        if others.len() == CONNECTIONS {
            Ok(others)
        } else {
            Err(waiting)
        }
    })
    .await;
    drop(locked);
    for read in reads {
        assert_eq!(read.await.expect("no panic"), Ok(()));
    }
    let kept: BTreeSet<u64> = opened.difference(&lost).copied().collect();
    assert!(
        kept.is_subset(&others),
        "{kept:?} of {others:?} are still in use"
    );
}
