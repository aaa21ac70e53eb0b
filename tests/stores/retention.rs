//! Retention of messages on the services.

use std::time::Duration;

use confab::{
    domain::{Hash, IdempotencyKey, MessageKey, Write},
    maintenance::unwatched,
};

use crate::{
    support::{Fixture, apply, on_services},
    test_stores::{TestStores, WHOLE_LIST},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the steps of one pass over all chats.
async fn expire(stores: &TestStores, limit: usize) -> usize {
    let (mut last, mut messages) = (None, 0);
    loop {
        let expired = stores.backend.expire_messages(DAY, last, limit).await;
        let expired = expired.expect("a step");
        // A step ends with the page of a chat with which it reaches the limit.
        assert!(expired.messages < 2 * limit, "{expired:?}");
        messages += expired.messages;
        if expired.is_done {
            return messages;
        }
        last = expired.last;
    }
}

#[apply(on_services!)]
async fn old_messages_are_deleted_up_to_the_first_newer_one(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let old = stores.new_chat().await;
    let mixed = stores.new_chat().await;
    let key = IdempotencyKey {
        id: Hash::of([Some("key")]),
        body: Hash::of([Some("body")]),
    };
    let keyed = Write::create_message(mixed, "secret").with_idempotency(Some(key));
    stores.number(keyed.clone()).await;
    for _ in 0..6 {
        stores.create_message(old, "secret").await;
        stores.create_message(mixed, "secret").await;
    }
    stores.drain().await;
    fixture
        .move_times("messages", -2 * 24 * 60 * 60 * 1000)
        .await;
    // The clock was set back: a later message is older, and stays.
    let newer = format!(
        "UPDATE messages SET created_at = created_at + INTERVAL 2 DAY \
         WHERE app = '{}' AND number IN (4, 6)",
        mixed.app
    );
    assert_eq!(fixture.execute(&newer).await, 2);

    assert_eq!(expire(&stores, 2).await, 9);
    assert_eq!(expire(&stores, 2).await, 0);
    stores.apply_counts_and_outbox().await;
    let left = stores.backend.messages(mixed, &WHOLE_LIST).await;
    let left = left.expect("a response").value.items;
    let left: Vec<u64> = left.iter().map(|message| message.key.number).collect();
    assert_eq!(left, [4, 5, 6, 7]);
    for (chat, count) in [(old, 0), (mixed, 4)] {
        let read = stores.backend.chat(chat).await.expect("a response");
        let read = read.value.expect("the chat stays");
        assert_eq!(read.messages_count, Some(count));
        let found = stores.search_numbers(chat, "secret", &WHOLE_LIST).await;
        assert_eq!(found.len(), count as usize);
    }
    let deleted = MessageKey {
        chat: mixed,
        number: 3,
    };
    assert_eq!(stores.read(deleted).await, None);
    // Numbers go on, and the key says that its message is deleted.
    assert_eq!(stores.create_message(old, "next").await.number, 7);
    let wrong = stores.backend.recount_messages(None, 100, false).await;
    assert_eq!(wrong.expect("counted").findings, []);
    let verified = stores.maintenance().verify_index(false, &unwatched).await;
    assert_eq!(verified.expect("compared").findings, []);
    let bodies = "SELECT COUNT(body) FROM idempotency_keys";
    assert_eq!(fixture.stored_number(bodies).await, Some(0));
    let log = "SELECT COUNT(*) FROM deletions WHERE up_to AND number IN (3, 6)";
    assert_eq!(fixture.stored_number(log).await, Some(2));
}
