//! Storing deletions on the services: a deleted row never changes, and what belongs to it is not stored.

use confab::{
    domain::{
        AppId, Application, Change, Chat, ChatKey, Hash, IdempotencyKey, Key, KeyText,
        KeyedCreation, Kind, Message, MessageKey, Target, Timestamp,
        time::{Clock, from_millis},
    },
    maintenance::{Problem, unwatched},
    stores::{Backend, KeyLimits, Lease, StoredKey},
};

use crate::{
    support::{Fixture, apply, on_services},
    test_stores::{TestStores, WHOLE_LIST, revision},
};

/// A lease under which everything can be stored.
pub async fn any_lease(backend: &Backend, kind: Kind) -> Lease {
    Lease {
        kind,
        token: "none".into(),
        epoch: backend.epoch().await.expect("a response"),
    }
}

pub fn now() -> Timestamp {
    from_millis(Clock::default().now())
}

/// Stores the deletion of a message.
pub async fn delete_message(stores: &TestStores, message: &Message, difference: i64) {
    let deleted = Message::deleted(message.key, revision(message, difference), now());
    let lease = any_lease(&stores.backend, Kind::DeleteMessage).await;
    let stored = stores.store_messages(&lease, &[deleted]).await;
    stored.expect("stored");
}

/// Stores the deletion of a chat.
pub async fn delete_chat(stores: &TestStores, key: ChatKey, after: &Message) {
    let chat = Chat {
        key,
        messages_count: None,
        deleted_up_to: 0,
        revision: revision(after, 1_000_000),
        created_at: now(),
        deleted_at: Some(now()),
    };
    store(stores, Kind::DeleteChat, Change::Chat(chat)).await;
}

/// Stores the deletion of an application.
pub async fn delete_application(stores: &TestStores, id: AppId, after: &Message) {
    let application = Application {
        id,
        username: String::new(),
        revision: revision(after, 1_000_000),
        created_at: now(),
        deleted_at: Some(now()),
    };
    let change = Change::Application(application);
    store(stores, Kind::DeleteApplication, change).await;
}

async fn store(stores: &TestStores, kind: Kind, change: Change) {
    let lease = any_lease(&stores.backend, kind).await;
    let stored = stores.backend.store(&lease, vec![change], vec![]).await;
    stored.expect("stored");
}

/// Creates a message that is stored.
async fn stored_message(stores: &TestStores, chat: ChatKey, text: &str) -> Message {
    let key = stores.create_message(chat, text).await;
    stores.drain().await;
    stores.stored(key).await.expect("stored")
}

async fn count(fixture: &Fixture, query: &str) -> i64 {
    let count = fixture.stored_number(query).await;
    count.unwrap_or_default()
}

/// The stored count of a chat's messages, 0 before the first.
async fn messages_count(fixture: &Fixture, chat: ChatKey) -> i64 {
    let ChatKey { app, number } = chat;
    let query =
        format!("SELECT messages_count FROM chats WHERE app = '{app}' AND number = {number}");
    count(fixture, &query).await
}

async fn assert_no_count_is_wrong(stores: &TestStores) {
    let chats = stores.backend.recount_chats(None, 100, false).await;
    assert_eq!(chats.expect("counted").findings, []);
    let messages = stores.backend.recount_messages(None, 100, false).await;
    assert_eq!(messages.expect("counted").findings, []);
}

#[apply(on_services!)]
async fn late_writes_do_not_change_a_deleted_message(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stored_message(&stores, chat, "secret").await;
    delete_message(&stores, &message, 1).await;
    let deleted = stores.stored(message.key).await.expect("its row stays");
    assert_eq!(
        (&*deleted.text, deleted.revision),
        ("", revision(&message, 1))
    );
    assert!(deleted.deleted_at.is_some());
    let update = Message {
        text: "update".into(),
        data: Some("{}".into()),
        sender: Some("alice".into()),
        revision: revision(&message, 5),
        updated_at: Some(now()),
        ..message.clone()
    };
    let lease = any_lease(&stores.backend, Kind::UpdateMessage).await;
    for late in [update, message.clone()] {
        stores
            .store_messages(&lease, &[late])
            .await
            .expect("stored");
        assert_eq!(stores.stored(message.key).await.as_ref(), Some(&deleted));
    }
    stores.drain().await;
    assert_eq!(messages_count(fixture, chat).await, 0);
    assert_no_count_is_wrong(&stores).await;
    // Deleted once, logged once.
    delete_message(&stores, &message, 1).await;
    assert_eq!(count(fixture, "SELECT COUNT(*) FROM deletions").await, 1);
    stores.drain().await;
    assert_eq!(messages_count(fixture, chat).await, 0);
}

#[apply(on_services!)]
async fn counts_are_right_after_creations_and_deletions_in_any_order(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    // Steps of a message: its creation, an update, its deletion, each at its revision. Some are stored twice.
    let orders = [
        &[0, 1, 2][..],
        &[2, 0, 1],
        &[2, 2, 0],
        &[1, 2, 0, 2],
        &[0, 2, 0, 1, 2],
    ];
    let mut chats = Vec::new();
    for order in orders {
        let chat = stores.new_chat().await;
        stores.create_message(chat, "created").await;
        stores.create_message(chat, "stays").await;
        let batch = stores.claim(Kind::CreateMessage).await;
        let created = batch.jobs[0].change.clone().expect("readable");
        let created = created.into_message().expect("a message");
        for step in order {
            match step {
                2 => delete_message(&stores, &created, 2).await,
                step => {
                    let write = Message {
                        revision: revision(&created, *step),
                        updated_at: (*step == 1).then(now),
                        ..created.clone()
                    };
                    let stored = stores.store_messages(&batch.lease, &[write]).await;
                    stored.expect("stored");
                }
            }
            stores.apply_counts_and_outbox().await;
        }
        stores.store(&batch).await.expect("stored");
        let stored = stores.stored(created.key).await.expect("its row stays");
        assert!(stored.deleted_at.is_some(), "{order:?}");
        chats.push((chat, order));
    }
    stores.drain().await;
    for (chat, order) in chats {
        assert_eq!(messages_count(fixture, chat).await, 1, "{order:?}");
    }
    assert_no_count_is_wrong(&stores).await;
    let verified = stores.maintenance().verify_index(false, &unwatched).await;
    assert_eq!(verified.expect("compared").findings, []);
}

#[apply(on_services!)]
async fn nothing_is_stored_in_a_deleted_chat(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stored_message(&stores, chat, "stored").await;
    let late = stores.create_message(chat, "late").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    delete_chat(&stores, chat, &message).await;
    stores.store(&batch).await.expect("dropped");
    assert_eq!(stores.stored(late).await, None);
    delete_message(&stores, &message, 1).await;
    assert_eq!(
        count(
            fixture,
            "SELECT COUNT(*) FROM messages WHERE deleted_at IS NOT NULL"
        )
        .await,
        0
    );
    // Readers of rows see no text before it is erased.
    let hidden = stores.stored(message.key).await.expect("not erased yet");
    assert_eq!((&*hidden.text, hidden.deleted_at.is_some()), ("", true));
    stores.apply_counts_and_outbox().await;
    let chats = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        chat.app
    );
    assert_eq!(count(fixture, &chats).await, 0);
    assert_no_count_is_wrong(&stores).await;
}

#[apply(on_services!)]
async fn chat_that_is_deleted_before_its_creation_is_stored_stays_deleted(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "early").await;
    let messages = stores.claim(Kind::CreateMessage).await;
    let message = messages.jobs[0].change.clone().expect("readable");
    let message = message.into_message().expect("a message");
    delete_chat(&stores, chat, &message).await;
    stores.drain().await;
    stores.store(&messages).await.expect("dropped");
    stores.apply_counts_and_outbox().await;
    assert_eq!(count(fixture, "SELECT COUNT(*) FROM messages").await, 0);
    let chats = format!(
        "SELECT chats_count FROM applications WHERE id = '{}'",
        chat.app
    );
    assert_eq!(count(fixture, &chats).await, 0);
    assert_no_count_is_wrong(&stores).await;
}

#[apply(on_services!)]
async fn deleted_application_has_no_chats_name_and_keys(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stored_message(&stores, chat, "stored").await;
    let text = KeyText::generate();
    let key = Key {
        id: text.id(),
        app: Some(chat.app),
        name: "a name".into(),
        read_only: false,
        created_at: now(),
        expires_at: None,
        last_used: None,
    };
    let limits = KeyLimits {
        total: 10,
        per_application: 10,
    };
    let key = StoredKey::new(key, &text);
    let created = stores.backend.create_key(&key, limits).await;
    created.expect("created");
    let before = stores.backend.credential_changes(None, now(), 0).await;
    let number = stores
        .number(confab::domain::Write::create_chat(chat.app))
        .await;
    let batch = stores.claim(Kind::CreateChat).await;
    delete_application(&stores, chat.app, &message).await;
    stores.store(&batch).await.expect("dropped");
    let late = format!("SELECT COUNT(*) FROM chats WHERE number = {number}");
    assert_eq!(count(fixture, &late).await, 0);
    let named = "SELECT COUNT(*) FROM applications WHERE user_name <> ''";
    assert_eq!(count(fixture, named).await, 0);
    let since = before.expect("a response").number;
    let changes = stores
        .backend
        .credential_changes(Some(since), now(), 0)
        .await;
    let keys = changes.expect("a response").keys;
    assert_eq!(keys.len(), 1);
    assert!(keys[0].is_revoked && keys[0].signing_secret.is_none());
    // The chat's messages belong to no orphan.
    fixture.execute("DELETE FROM chats").await;
    let services = stores.services().expect("the services");
    let orphans = services.mysql.orphaned_chats(None, 10).await;
    assert_eq!(orphans.expect("scanned").findings, []);
    assert_no_count_is_wrong(&stores).await;
}

#[apply(on_services!)]
async fn idempotency_keys_lose_their_body_with_what_they_created(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let first = stored_message(&stores, chat, "first").await;
    let keyed = |number, text: &str| KeyedCreation {
        target: Target::from(MessageKey { chat, number }),
        key: IdempotencyKey {
            id: Hash::of([Some(text)]),
            body: Hash::of([Some("body")]),
        },
    };
    let store = async |messages: &[&Message], keys: Vec<KeyedCreation>| {
        let lease = any_lease(&stores.backend, Kind::CreateMessage).await;
        let changes = messages.iter().map(|one| Change::Message((*one).clone()));
        let stored = stores.backend.store(&lease, changes.collect(), keys).await;
        stored.expect("stored");
    };
    let second = Message {
        key: MessageKey { chat, number: 2 },
        revision: revision(&first, 1),
        ..first.clone()
    };
    let bodies = "SELECT COUNT(body) FROM idempotency_keys";
    store(&[&first, &second], vec![keyed(1, "one"), keyed(2, "two")]).await;
    store(&[&first], vec![keyed(1, "one")]).await;
    assert_eq!(count(fixture, bodies).await, 2);
    delete_message(&stores, &first, 9).await;
    assert_eq!(count(fixture, bodies).await, 1);
    // A creation that is stored after the deletion.
    store(&[&first], vec![keyed(1, "another")]).await;
    assert_eq!(count(fixture, bodies).await, 1);
    assert_eq!(
        count(fixture, "SELECT COUNT(*) FROM idempotency_keys").await,
        3
    );
    let third = Message {
        key: MessageKey { chat, number: 3 },
        ..second.clone()
    };
    delete_chat(&stores, chat, &first).await;
    store(&[&third], vec![keyed(3, "three")]).await;
    assert_eq!(
        count(fixture, "SELECT COUNT(*) FROM idempotency_keys").await,
        3
    );
}

/// The index worker may hold an old document while the message is deleted, for any time.
#[apply(on_services!)]
async fn late_document_does_not_restore_a_deleted_text(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let index = &stores.services().expect("the services").elasticsearch;
    let chat = stores.new_chat().await;
    let message = stored_message(&stores, chat, "secret").await;
    // The deletion is older than the last update, as after a failback: the revisions are equal.
    for difference in [1, -1] {
        let message = match difference {
            1 => message.clone(),
            _ => stored_message(&stores, chat, "secret").await,
        };
        delete_message(&stores, &message, difference).await;
        stores.apply_counts_and_outbox().await;
        let late = std::slice::from_ref(&message);
        assert_eq!(index.put(None, late).await, Ok(vec![]));
        stores.refresh().await;
        assert_eq!(
            stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
            [0; 0]
        );
    }
    // A new index holds the empty documents as well.
    let rebuilt = stores.maintenance().rebuild_index(&unwatched).await;
    assert_eq!(rebuilt.expect("rebuilt").messages, 2);
    let late = std::slice::from_ref(&message);
    assert_eq!(index.put(None, late).await, Ok(vec![]));
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [0; 0]
    );
    let verified = stores.maintenance().verify_index(false, &unwatched).await;
    assert_eq!(verified.expect("compared").findings, []);
}

#[apply(on_services!)]
async fn document_of_an_erased_message_is_found_and_emptied(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let index = &stores.services().expect("the services").elasticsearch;
    let chat = stores.new_chat().await;
    let message = stored_message(&stores, chat, "secret").await;
    delete_chat(&stores, chat, &message).await;
    while stores.backend.erase_step(10).await.expect("a step") {}
    // A new index knows nothing of the message, and a late document comes.
    let rebuilt = stores.maintenance().rebuild_index(&unwatched).await;
    rebuilt.expect("rebuilt");
    let put = index.put(None, std::slice::from_ref(&message)).await;
    assert_eq!(put, Ok(vec![]));
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [1]
    );
    let verified = stores.maintenance().verify_index(true, &unwatched).await;
    let findings = verified.expect("compared").findings;
    assert_eq!((findings.len(), findings[0].problem), (1, Problem::Deleted));
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(chat, "secret", &WHOLE_LIST).await,
        [0; 0]
    );
    // The empty document has no row, and is right.
    let verified = stores.maintenance().verify_index(false, &unwatched).await;
    assert_eq!(verified.expect("compared").findings, []);
}
