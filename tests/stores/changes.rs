//! Changes that no client requested: each gets a revision of its own, so that followers learn of it.

use std::time::Duration;

use confab::{
    domain::{AppId, Changed, ChangesPage, Chat, Kind, Since, Write},
    stores::Enqueued,
};

use crate::{
    support::{Fixture, apply, on_each_backend, on_services},
    test_stores::TestStores,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads all changes; returns them and where the next read continues.
async fn changes(stores: &TestStores, app: AppId, since: Since) -> (Vec<Changed>, Since) {
    let page = ChangesPage {
        since,
        limit: 1000,
        bytes: usize::MAX,
        chats: None,
    };
    let changes = stores.backend.changes(app, &page).await;
    let changes = changes.expect("a response").expect("an application");
    (changes.items, changes.next)
}

/// The cursor at the end.
async fn end(stores: &TestStores, app: AppId) -> Since {
    changes(stores, app, Since::Now).await.1
}

#[apply(on_each_backend!)]
async fn discarded_update_is_a_change(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "before").await;
    stores.drain().await;
    stores.update_message(message, "refused").await;
    let batch = stores.claim(Kind::UpdateMessage).await;
    let job = &batch.jobs[0];
    let failed = stores.backend.fail(&batch.lease, job, "no good", None);
    failed.await.expect("failed");
    let seen = end(&stores, chat.app).await;
    assert_eq!(stores.backend.discard(job.revision).await, Ok(true));
    for is_stored in [false, true] {
        let (changed, next) = changes(&stores, chat.app, seen).await;
        let [Changed::Message(changed)] = &changed[..] else {
            panic!("{changed:?}, stored: {is_stored}");
        };
        assert_eq!((changed.key, changed.text.as_str()), (message, "before"));
        assert_ne!(next, seen);
        stores.drain().await;
    }
}

#[apply(on_each_backend!)]
async fn moved_mark_of_a_chat_is_a_change(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for _ in 0..5 {
        stores.create_message(chat, "old").await;
    }
    stores.drain().await;
    fixture
        .move_times("messages", -2 * DAY.as_millis() as i64)
        .await;
    stores.create_message(chat, "new").await;
    stores.drain().await;
    let seen = end(&stores, chat.app).await;
    let mut last = None;
    loop {
        let step = stores.backend.expire_messages(DAY, last, 2).await;
        let step = step.expect("a step");
        if step.is_done {
            break;
        }
        last = step.last;
    }
    let (changed, next) = changes(&stores, chat.app, seen).await;
    let [Changed::Chat(Chat { deleted_up_to, .. })] = changed[..] else {
        panic!("{changed:?}");
    };
    assert_eq!(deleted_up_to, 5);
    assert_eq!(changes(&stores, chat.app, next).await, (vec![], next));
}

/// Without the lock, a reader that comes after the revision was given out and before it is stored would miss the change.
#[apply(on_services!)]
async fn reader_waits_for_a_change_that_took_a_revision(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.drain().await;
    let seen = end(&stores, chat.app).await;
    // What the transaction of such a change does, step by step.
    let services = stores.services().expect("the services");
    let mut change = fixture.services().mysql().await;
    use diesel_async::SimpleAsyncConnection as _;
    let lock = "BEGIN; SELECT mark FROM history FOR UPDATE";
    change.batch_execute(lock).await.expect("locked");
    let epoch = services.redis.epoch().await.expect("an epoch");
    let revision = services.redis.next_revision(chat.app, epoch).await;
    let revision = revision.expect("a revision");
    let write = async {
        // The reader has asked for the last revision by now.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let write = format!(
            "UPDATE chats SET deleted_up_to = 1, revision = {} WHERE app = '{}'; COMMIT",
            revision.0, chat.app
        );
        change.batch_execute(&write).await.expect("committed");
    };
    let ((changed, _), ()) = tokio::join!(changes(&stores, chat.app, seen), write);
    assert_eq!(changed.len(), 1, "{changed:?}");
}

#[apply(on_services!)]
async fn adopted_chat_is_a_change(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "hello").await;
    stores.drain().await;
    let seen = end(&stores, chat.app).await;
    assert_eq!(fixture.execute("DELETE FROM chats").await, 1);
    let services = stores.services().expect("the services");
    let orphans = services.mysql.orphaned_chats(None, 10).await;
    let orphans = orphans.expect("scanned").findings;
    services.adopt_chats(&orphans).await.expect("adopted");
    let (changed, _) = changes(&stores, chat.app, seen).await;
    let [Changed::Chat(adopted)] = &changed[..] else {
        panic!("{changed:?}");
    };
    assert_eq!(adopted.key, chat);
}

/// Otherwise a cursor would stay valid after a loss of the later write, whose state was returned.
#[apply(on_each_backend!)]
async fn cursor_covers_the_states_that_were_returned(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "before").await;
    stores.drain().await;
    let seen = end(&stores, chat.app).await;
    stores.create_message(chat, "another").await;
    stores.update_message(message, "after").await;
    let page = ChangesPage {
        since: Since::Beginning,
        limit: 2,
        bytes: usize::MAX,
        chats: None,
    };
    let changes = stores.backend.changes(chat.app, &page).await;
    let changes = changes.expect("a response").expect("an application");
    let [_, Changed::Message(changed)] = &changes.items[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(changed.text, "after");
    let (Since::After(next), Since::After(seen)) = (changes.next, seen) else {
        panic!("{changes:?}");
    };
    assert!(next.revision <= seen.revision);
    assert!(next.seen >= changed.revision);
}

#[apply(on_services!)]
async fn update_of_a_message_that_retention_removed_is_no_change(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "old").await;
    stores.drain().await;
    // Redis keeps a mark of its version for a minute.
    stores.update_message(message, "edited").await;
    stores.drain().await;
    fixture
        .move_times("messages", -2 * DAY.as_millis() as i64)
        .await;
    let expired = stores.backend.expire_messages(DAY, None, 10).await;
    assert_eq!(expired.expect("a step").messages, 1);
    let seen = end(&stores, chat.app).await;
    let late = stores.enqueue(Write::update_message(message, "late")).await;
    assert!(matches!(late, Ok(Enqueued::Accepted { .. })), "{late:?}");
    let (changed, next) = changes(&stores, chat.app, seen).await;
    assert_eq!(changed, []);
    stores.drain().await;
    assert_eq!(changes(&stores, chat.app, next).await.0, []);
}

/// As after a process that was killed between the two steps that begin an epoch.
#[apply(on_services!)]
async fn epoch_that_never_began_loses_no_history(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let seen = end(&stores, chat.app).await;
    let services = stores.services().expect("the services");
    let (last, _) = services.redis.last_accepted().await.expect("a revision");
    for _ in 0..2 {
        let raised = services.mysql.raise_epoch(0, Some(last)).await;
        assert!(raised.expect("raised") > last.epoch());
    }
    let another = stores.open_again();
    let page = ChangesPage {
        since: seen,
        limit: 10,
        bytes: usize::MAX,
        chats: None,
    };
    let changes = another.changes(chat.app, &page).await;
    let changes = changes
        .expect("no history was lost")
        .expect("an application");
    assert_eq!((changes.items, changes.next), (vec![], seen));
    let (now, _) = services.redis.last_accepted().await.expect("a revision");
    assert!(now.epoch() > last.epoch() + 2);
}
