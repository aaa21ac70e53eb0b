//! Deletion, idempotency keys and conditions on the embedded backend, down to the bytes in the file.

use std::{fmt::Debug, fs, time::Duration};

use confab::{
    domain::{
        AppId, ChatKey, Condition, Hash, IdempotencyKey, Kind, MessageKey, Revision, Write,
        application::ApplicationsPage,
    },
    stores::{Backend, Enqueued, Error, JobState},
};

use crate::{
    support::{Fixture, apply, on_embedded},
    test_stores::{LONG_LEASE, TestStores, WHOLE_LIST},
};

/// Time after which another compaction begins.
const A_DAY: Duration = Duration::from_secs(25 * 60 * 60);

/// Processes all waiting jobs of these kinds, in this order.
async fn drain(stores: &TestStores, kinds: &[Kind]) {
    for kind in kinds {
        let batch = stores.claim_some(*kind, 1000, LONG_LEASE).await;
        if let Some(batch) = batch {
            stores.store(&batch).await.expect("stored");
            let jobs = &batch.jobs;
            let acknowledged = stores.backend.acknowledge(&batch.lease, jobs).await;
            acknowledged.expect("acknowledged");
        }
    }
}

/// Makes the first waiting job of a kind a dead letter.
async fn fail(stores: &TestStores, kind: Kind) -> Revision {
    let batch = stores.claim_some(kind, 1, LONG_LEASE).await;
    let batch = batch.expect("a job");
    let job = &batch.jobs[0];
    let failed = stores.backend.fail(&batch.lease, job, "no good", None);
    failed.await.expect("failed");
    job.revision
}

/// Runs steps of erasures until nothing is left to do. Returns their number.
async fn erase(backend: &Backend, limit: usize) -> usize {
    let mut steps = 0;
    while backend.erase_step(limit).await.expect("a step") {
        steps += 1;
        assert!(steps < 10_000, "erasing never ends");
    }
    steps
}

async fn messages_count(stores: &TestStores, chat: ChatKey) -> Option<u64> {
    let chat = stores.backend.chat(chat).await.expect("a response").value;
    chat.expect("a chat").messages_count
}

async fn chats_count(stores: &TestStores, app: AppId) -> Option<u64> {
    let read = stores.backend.application(app).await.expect("a response");
    read.value.map(|(_, chats)| chats)
}

/// Numbers in a chat's list.
async fn listed(stores: &TestStores, chat: ChatKey) -> Vec<u64> {
    let listing = stores.backend.messages(chat, &WHOLE_LIST).await;
    let items = listing.expect("a response").value.items.into_iter();
    items.map(|message| message.key.number).collect()
}

/// Makes sure that rows, documents and counts agree.
async fn check(stores: &TestStores) {
    let maintenance = stores.maintenance();
    let index = maintenance.verify_index(false, &|_| ()).await;
    assert_eq!(index.expect("a report").findings, []);
    let counts = maintenance.verify_counts(false, &|_| ()).await;
    assert_eq!(counts.expect("a report").findings, []);
}

/// The key of a creation in an application or chat.
fn key(parent: impl Debug, key: &str, body: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        id: Hash::of([Some(format!("{parent:?}").as_str()), Some(key)]),
        body: Hash::of([Some(body)]),
    })
}

#[apply(on_embedded!)]
async fn deleted_message_is_gone_before_and_after_it_is_stored(fixture: &Fixture) {
    // In each order in which the jobs can be stored.
    for kinds in [
        [
            Kind::CreateMessage,
            Kind::UpdateMessage,
            Kind::DeleteMessage,
        ],
        [
            Kind::CreateMessage,
            Kind::DeleteMessage,
            Kind::UpdateMessage,
        ],
        [
            Kind::DeleteMessage,
            Kind::CreateMessage,
            Kind::UpdateMessage,
        ],
        [
            Kind::DeleteMessage,
            Kind::UpdateMessage,
            Kind::CreateMessage,
        ],
        [
            Kind::UpdateMessage,
            Kind::DeleteMessage,
            Kind::CreateMessage,
        ],
    ] {
        let stores = TestStores::new(fixture).await;
        let chat = stores.new_chat().await;
        drain(&stores, &[Kind::CreateApplication, Kind::CreateChat]).await;
        let kept = stores.create_message(chat, "kept words").await;
        let message = stores.create_message(chat, "hello world").await;
        stores.update_message(message, "hello again").await;
        let is_gone = async || {
            assert_eq!(stores.read(message).await, None, "{kinds:?}");
            assert_eq!(listed(&stores, chat).await, [1], "{kinds:?}");
            for write in [
                Write::delete_message(message),
                Write::update_message(message, "too late"),
            ] {
                assert_eq!(stores.enqueue(write).await, Ok(Enqueued::Missing));
            }
        };
        assert_eq!(stores.number(Write::delete_message(message)).await, 2);
        is_gone().await;
        for kind in kinds {
            drain(&stores, &[kind]).await;
            is_gone().await;
        }
        assert_eq!(messages_count(&stores, chat).await, Some(1), "{kinds:?}");
        let row = stores.stored(message).await.expect("a row");
        assert_eq!((&*row.text, row.sender, row.data), ("", None, None));
        assert!(row.deleted_at.is_some());
        assert_eq!(
            stores.search_numbers(chat, "hello", &WHOLE_LIST).await,
            [0; 0]
        );
        assert_eq!(stores.search_numbers(chat, "kept", &WHOLE_LIST).await, [1]);
        check(&stores).await;
        // The number is not used again.
        assert_eq!(stores.create_message(chat, "next").await.number, 3);
        assert!(stores.read(kept).await.is_some());
        stores.drain().await;
    }
}

#[apply(on_embedded!)]
async fn accept_step_checks_existence_then_key_then_condition_then_capacity(fixture: &Fixture) {
    let stores = TestStores::with(fixture, &[("CONFAB_LIMITS__QUEUE_DEPTH", "8")]).await;
    let chat = stores.new_chat().await;
    let keyed =
        |text: &str| Write::create_message(chat, text).with_idempotency(key(chat, "k", text));
    assert_eq!(stores.number(keyed("hello")).await, 1);
    assert_eq!(
        stores.enqueue(keyed("hello")).await,
        Ok(Enqueued::Replayed { number: 1 })
    );
    assert_eq!(
        stores.enqueue(keyed("other")).await,
        Ok(Enqueued::KeyReused)
    );
    let keyed_chat = || Write::create_chat(chat.app).with_idempotency(key(chat.app, "k", ""));
    let second = stores.number(keyed_chat()).await;
    assert_eq!(
        stores.enqueue(keyed_chat()).await,
        Ok(Enqueued::Replayed { number: second })
    );

    let message = MessageKey { chat, number: 1 };
    let version = async || stores.read(message).await.expect("a message").revision;
    let created = version().await;
    let update = |condition| Write::update_message(message, "new").with_condition(Some(condition));
    let any_of = |revisions: &[Revision]| Condition::AnyOf(revisions.to_vec());
    stores.number(update(any_of(&[created]))).await;
    let updated = version().await;
    assert_ne!(created, updated);
    assert_eq!(
        stores.enqueue(update(any_of(&[created]))).await,
        Ok(Enqueued::Changed)
    );
    assert_eq!(
        stores.enqueue(update(any_of(&[]))).await,
        Ok(Enqueued::Changed)
    );
    stores.drain().await;
    assert_eq!(version().await, updated);
    stores.number(update(any_of(&[created, updated]))).await;
    stores.number(update(Condition::Exists)).await;
    let delete = |condition| Write::delete_message(message).with_condition(Some(condition));
    assert_eq!(
        stores.enqueue(delete(any_of(&[updated]))).await,
        Ok(Enqueued::Changed)
    );

    // A replay is returned from a full queue too; so is what does not exist or has changed.
    while stores
        .enqueue(Write::create_message(chat, "more"))
        .await
        .is_ok()
    {}
    assert_eq!(
        stores.enqueue(keyed("hello")).await,
        Ok(Enqueued::Replayed { number: 1 })
    );
    assert_eq!(
        stores.enqueue(update(any_of(&[]))).await,
        Ok(Enqueued::Changed)
    );
    let full = stores.enqueue(Write::delete_message(message)).await;
    assert!(matches!(full, Err(Error::Full(_))), "{full:?}");
    stores.drain().await;
    stores.number(delete(any_of(&[version().await]))).await;
    let condition = stores.enqueue(update(Condition::Exists)).await;
    assert_eq!(condition, Ok(Enqueued::Missing));
    for _ in 0..2 {
        let replay = stores.enqueue(keyed("hello")).await;
        assert_eq!(replay, Ok(Enqueued::ReplayedDeleted));
        stores.drain().await;
    }
    let second = ChatKey {
        number: second,
        ..chat
    };
    stores.number(Write::delete_chat(second)).await;
    assert_eq!(
        stores.enqueue(keyed_chat()).await,
        Ok(Enqueued::ReplayedDeleted)
    );
}

#[apply(on_embedded!)]
async fn deleted_chat_is_gone_with_all_that_belongs_to_it(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let other = stores.number(Write::create_chat(chat.app)).await;
    let other = ChatKey {
        number: other,
        ..chat
    };
    for _ in 0..450 {
        stores.create_message(chat, "hello").await;
    }
    let kept = stores.create_message(other, "hello").await;
    stores.drain().await;
    let keyed = Write::create_message(chat, "late").with_idempotency(key(chat, "k", ""));
    let message = stores.number(keyed).await;
    let message = MessageKey {
        chat,
        number: message,
    };
    stores.create_message(chat, "dead").await;
    let dead = fail(&stores, Kind::CreateMessage).await;
    assert_eq!(stores.number(Write::delete_chat(chat)).await, chat.number);
    let is_gone = async || {
        let backend = &stores.backend;
        assert!(!backend.has_chat(chat).await.expect("a response").value);
        assert_eq!(backend.chat(chat).await.expect("a response").value, None);
        assert_eq!(listed(&stores, chat).await, [0; 0]);
        assert_eq!(stores.read(message).await, None);
        assert_eq!(
            stores.search_numbers(chat, "hello", &WHOLE_LIST).await,
            [0; 0]
        );
        assert_eq!(chats_count(&stores, chat.app).await, Some(1));
        let chats = backend.chats(chat.app, &WHOLE_LIST).await;
        let chats = chats.expect("a response").value.items;
        assert_eq!(chats.len(), 1);
        for write in [
            Write::create_message(chat, "x"),
            Write::update_message(message, "x"),
            Write::delete_message(message),
            Write::delete_chat(chat),
        ] {
            assert_eq!(stores.enqueue(write).await, Ok(Enqueued::Missing));
        }
    };
    is_gone().await;
    // Its children are not stored once its deletion is.
    drain(&stores, &[Kind::DeleteChat, Kind::CreateMessage]).await;
    let rows = "SELECT COUNT(*) FROM messages WHERE chat = 1";
    assert_eq!(fixture.stored_number(rows).await, Some(450));
    stores.drain().await;
    is_gone().await;
    check(&stores).await;

    let mut steps = 0;
    while stores.open_again().erase_step(100).await.expect("a step") {
        steps += 1;
        is_gone().await;
        check(&stores).await;
    }
    assert!(steps > 5, "{steps}");
    let erasures = stores.backend.erasures(10).await.expect("erasures");
    assert_eq!(erasures.len(), 1);
    assert_eq!(erasures[0].erased, 450);
    assert_eq!(erasures[0].chat, Some(chat.number));
    assert!(erasures[0].finished_at.is_some());
    assert_eq!(stores.backend.job(dead).await, Ok(None));
    for (count, of) in [
        (0, "FROM idempotency_keys"),
        (0, "FROM jobs"),
        (1, "FROM messages"),
        (1, "FROM chats WHERE deleted_at IS NULL"),
        (1, "FROM deletions"),
    ] {
        let counted = fixture
            .stored_number(&format!("SELECT COUNT(*) {of}"))
            .await;
        assert_eq!(counted, Some(count), "{of}");
    }
    assert!(stores.read(kept).await.is_some());
    assert_eq!(messages_count(&stores, other).await, Some(1));
    // Its number is not used again.
    assert_eq!(stores.number(Write::create_chat(chat.app)).await, 3);
}

#[apply(on_embedded!)]
async fn deleted_application_is_gone_with_all_that_belongs_to_it(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let backend = &stores.backend;
    let chat = stores.new_chat().await;
    let kept = stores.new_chat().await;
    for text in ["one", "two"] {
        stores.create_message(chat, text).await;
        stores.create_message(kept, text).await;
    }
    let chats = [chat, kept];
    for stored in [false, true] {
        if stored {
            stores.drain().await;
        }
        for chat in chats {
            assert_eq!(listed(&stores, chat).await, [1, 2]);
        }
    }
    stores.create_message(chat, "three").await;
    stores.number(Write::create_chat(chat.app)).await;
    stores.number(Write::delete_application(chat.app)).await;
    let is_gone = async || {
        assert_eq!(chats_count(&stores, chat.app).await, None);
        assert!(!backend.has_chat(chat).await.expect("a response").value);
        assert_eq!(listed(&stores, chat).await, [0; 0]);
        let page = ApplicationsPage {
            after: None,
            before: None,
            limit: 10,
        };
        let list = backend.applications(&page).await.expect("a response").value;
        let ids: Vec<AppId> = list.items.iter().map(|item| item.application.id).collect();
        assert_eq!(ids, [kept.app]);
        for write in [
            Write::create_chat(chat.app),
            Write::delete_chat(chat),
            Write::create_message(chat, "x"),
            Write::delete_application(chat.app),
        ] {
            assert_eq!(stores.enqueue(write).await, Ok(Enqueued::Missing));
        }
        let taken = Write::create_application(chat.app, "again");
        assert_eq!(stores.enqueue(taken).await, Ok(Enqueued::Taken));
    };
    is_gone().await;
    stores.drain().await;
    is_gone().await;
    check(&stores).await;
    assert!(erase(backend, 1).await > 3);
    is_gone().await;
    check(&stores).await;
    let messages = "SELECT COUNT(*) FROM messages";
    assert_eq!(fixture.stored_number(messages).await, Some(2));
    assert_eq!(listed(&stores, kept).await, [1, 2]);
    let erasures = backend.erasures(10).await.expect("erasures");
    // One was stored before the deletion was.
    assert_eq!((erasures[0].erased, erasures[0].chat), (3, None));
}

#[apply(on_embedded!)]
async fn messages_of_a_sender_are_erased_queued_and_stored(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let send = async |sender: &str, text: &str| {
        let write = Write::create_message(chat, text).with_sender(Some(sender));
        stores.number(write).await
    };
    for number in 0..30 {
        send(["alice", "bob"][number % 2], "stored").await;
    }
    stores.drain().await;
    for number in 0..10 {
        send(["alice", "bob"][number % 2], "queued").await;
    }
    let claimed = stores.claim_some(Kind::CreateMessage, 3, LONG_LEASE).await;
    let claimed = claimed.expect("a batch");
    let dead = fail(&stores, Kind::CreateMessage).await;
    let erased = stores.backend.erase_sender(chat.app, "alice").await;
    erased.expect("a request");
    let later = send("alice", "later").await;
    assert!(erase(&stores.backend, 4).await > 5);
    let check_list = async || {
        let mut expected: Vec<u64> = (1..=40).filter(|number| number % 2 == 0).collect();
        expected.push(later);
        assert_eq!(listed(&stores, chat).await, expected);
    };
    check_list().await;
    stores.store(&claimed).await.expect("stored");
    let acknowledged = stores.backend.acknowledge(&claimed.lease, &claimed.jobs);
    acknowledged.await.expect("acknowledged");
    // It was bob's.
    assert_eq!(stores.backend.retry(dead).await, Ok(true));
    stores.drain().await;
    check_list().await;
    assert_eq!(messages_count(&stores, chat).await, Some(21));
    assert_eq!(
        stores
            .search_numbers(chat, "queued", &WHOLE_LIST)
            .await
            .len(),
        5
    );
    check(&stores).await;
    let erasures = stores.backend.erasures(10).await.expect("erasures");
    assert_eq!(erasures[0].erased, 20);
    assert_eq!(erasures[0].user.as_deref(), Some("alice"));
}

#[apply(on_embedded!)]
async fn discarding_a_creation_deletes_what_it_creates(fixture: &Fixture) {
    let stores = TestStores::with(fixture, &[("CONFAB_LIMITS__DEAD_LETTERS", "1")]).await;
    let backend = &stores.backend;
    let chat = stores.new_chat().await;
    drain(&stores, &[Kind::CreateApplication, Kind::CreateChat]).await;
    let message = stores.create_message(chat, "hello").await;
    stores.update_message(message, "updated").await;
    let dead = fail(&stores, Kind::CreateMessage).await;
    assert_eq!(backend.discard(dead).await, Ok(true));
    assert_eq!(backend.discard(dead).await, Ok(false));
    assert_eq!(stores.read(message).await, None);
    stores.drain().await;
    assert_eq!(stores.read(message).await, None);
    let update = stores.enqueue(Write::update_message(message, "x")).await;
    assert_eq!(update, Ok(Enqueued::Missing));
    assert_eq!(stores.create_message(chat, "next").await.number, 2);

    let other = stores.number(Write::create_chat(chat.app)).await;
    let other = ChatKey {
        number: other,
        ..chat
    };
    let dead = fail(&stores, Kind::CreateChat).await;
    assert_eq!(backend.discard(dead).await, Ok(true));
    stores.drain().await;
    let into = stores.enqueue(Write::create_message(other, "x")).await;
    assert_eq!(into, Ok(Enqueued::Missing));
    assert_eq!(chats_count(&stores, chat.app).await, Some(1));
    let app = stores.new_app().await;
    let dead = fail(&stores, Kind::CreateApplication).await;
    assert_eq!(backend.discard(dead).await, Ok(true));
    stores.drain().await;
    assert_eq!(chats_count(&stores, app).await, None);
    check(&stores).await;
}

#[apply(on_embedded!)]
async fn acknowledged_deletion_removes_failed_jobs_of_the_message(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    let other = stores.create_message(chat, "other").await;
    stores.drain().await;
    stores.update_message(other, "stays").await;
    let stays = fail(&stores, Kind::UpdateMessage).await;
    stores.update_message(message, "secret").await;
    fail(&stores, Kind::UpdateMessage).await;
    stores.number(Write::delete_message(message)).await;
    stores.drain().await;
    let dead = stores.backend.jobs(JobState::Dead, None, None, 10).await;
    let dead: Vec<Revision> = dead.expect("a list").iter().map(|job| job.id).collect();
    assert_eq!(dead, [stays]);
}

/// Files of the data file that hold any of these texts.
fn files_with(fixture: &Fixture, texts: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for suffix in ["", "-wal"] {
        let path = format!("{}{suffix}", fixture.file().display());
        let bytes = fs::read(&path).unwrap_or_default();
        for text in texts {
            let holds = bytes
                .windows(text.len())
                .any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
            if holds {
                found.push((suffix.to_owned(), (*text).to_owned()));
            }
        }
    }
    found
}

#[apply(on_embedded!)]
async fn no_byte_of_a_deleted_text_is_left_in_the_file(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let doomed_chat = stores.number(Write::create_chat(chat.app)).await;
    let doomed_chat = ChatKey {
        number: doomed_chat,
        ..chat
    };
    // Long and short ones between others, so that they lie on pages of all kinds.
    let secrets = ["Zaubernußöl", "Quittenbrötchen", "Kaffeesatzlesen"];
    let words = ["zaubernussol", "quittenbrotchen", "kaffeesatzlesen"];
    let filler = |number: usize| "some other words ".repeat(number * number % 400);
    let mut doomed = Vec::new();
    for number in 0..300 {
        stores
            .create_message(chat, &format!("filler {}", filler(number)))
            .await;
        if number % 3 == 0 {
            let text = format!("{} {} {}", filler(number), secrets[0], filler(number + 7));
            doomed.push(stores.create_message(chat, &text).await);
            let text = format!("{} {}", secrets[1], filler(number + 3));
            stores.create_message(doomed_chat, &text).await;
        }
    }
    let sender = Write::create_message(chat, "mine").with_sender(Some(secrets[2]));
    doomed.push(MessageKey {
        chat,
        number: stores.number(sender).await,
    });
    for message in &doomed[..5] {
        stores.update_message(*message, "short now").await;
    }
    stores.drain().await;
    let all = [secrets, words].concat();
    let found = files_with(fixture, &all);
    for text in [&secrets[..], &words[..2]].concat() {
        assert!(found.iter().any(|(_, held)| held == text), "{text}");
    }
    for message in &doomed {
        stores.number(Write::delete_message(*message)).await;
    }
    stores.number(Write::delete_chat(doomed_chat)).await;
    stores.drain().await;
    erase(&stores.backend, 100).await;
    assert_eq!(files_with(fixture, &all), []);

    // A dead letter, the next day.
    let message = stores.create_message(chat, secrets[0]).await;
    let dead = fail(&stores, Kind::CreateMessage).await;
    let later = stores.create_message(chat, secrets[1]).await;
    assert_eq!(stores.backend.discard(dead).await, Ok(true));
    stores.drain().await;
    assert_eq!(stores.read(message).await, None);
    stores.number(Write::delete_message(later)).await;
    stores.drain().await;
    assert_eq!(erase(&stores.backend, 100).await, 0, "one a day");
    erase(&stores.open_ahead(A_DAY), 100).await;
    assert_eq!(files_with(fixture, &all), []);
    check(&stores).await;
    let damaged = "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
    assert_eq!(fixture.stored_number(damaged).await, Some(0));
}

#[apply(on_embedded!)]
async fn old_messages_expire_and_stay_away(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let other = stores.new_chat().await;
    for _ in 0..25 {
        stores.create_message(chat, "old").await;
    }
    stores.drain().await;
    let keyed = Write::create_message(chat, "old").with_idempotency(key(chat, "k", ""));
    stores.number(keyed.clone()).await;
    stores.drain().await;
    fixture.move_times("messages", -10_000_000).await;
    stores.create_message(chat, "new").await;
    stores.create_message(other, "new").await;
    stores.drain().await;
    let old = MessageKey { chat, number: 3 };
    stores.update_message(old, "late").await;
    let late = stores.claim(Kind::UpdateMessage).await;

    let (mut last, mut steps, mut messages) = (None, 0, 0);
    let age = Duration::from_secs(5000);
    loop {
        let step = stores.backend.expire_messages(age, last, 10).await;
        let step = step.expect("a step");
        (last, steps) = (step.last, steps + 1);
        messages += step.messages;
        check(&stores).await;
        if step.is_done {
            break;
        }
    }
    assert!(steps > 2, "{steps}");
    assert_eq!(messages, 26);
    stores.store(&late).await.expect("stored");
    let acknowledged = stores.backend.acknowledge(&late.lease, &late.jobs);
    acknowledged.await.expect("acknowledged");
    assert_eq!(listed(&stores, chat).await, [27]);
    assert_eq!(listed(&stores, other).await, [1]);
    assert_eq!(messages_count(&stores, chat).await, Some(1));
    assert_eq!(stores.read(old).await, None);
    let update = stores.enqueue(Write::update_message(old, "x")).await;
    assert_eq!(update, Ok(Enqueued::Missing));
    assert_eq!(stores.enqueue(keyed).await, Ok(Enqueued::ReplayedDeleted));
    assert_eq!(
        stores.search_numbers(chat, "old", &WHOLE_LIST).await,
        [0; 0]
    );
    assert_eq!(stores.create_message(chat, "next").await.number, 28);
    check(&stores).await;
}
