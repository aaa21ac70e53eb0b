//! The queue: accepting, claiming, settling, recovering.

use std::{collections::BTreeSet, time::Duration};

use confab::{
    domain::{AppId, ChatKey, Kind, MessageKey, Page, Write},
    stores::{Backend, Batch, ClaimLimits, Enqueued, Error},
};

use crate::{
    support::{Fixture, apply, on_each_backend},
    test_stores::{LONG_LEASE, TestStores, WHOLE_LIST, texts},
};

const LEASE: Duration = Duration::from_secs(60);

/// Delay of a retry.
const DELAY: Duration = Duration::from_secs(60);

#[apply(on_each_backend!)]
async fn numbers_are_unique_and_gapless_across_processes(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let say = async |client: usize| {
        let mut numbers = Vec::new();
        for n in 0..25 {
            numbers.push(
                stores
                    .create_message(chat, &format!("{n} of {client}"))
                    .await
                    .number,
            );
        }
        numbers
    };
    let all = futures_util::future::join_all((0..20).map(say)).await;
    for numbers in &all {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    let all: BTreeSet<u64> = all.into_iter().flatten().collect();
    assert_eq!(all, (1..=500).collect());
}

#[apply(on_each_backend!)]
async fn writes_to_missing_parents_are_not_accepted(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    let text = || "text".to_owned();
    let missing = [
        Write::create_chat(AppId(chat.app.0 ^ 1)),
        Write::create_message(ChatKey { number: 2, ..chat }, text()),
        Write::update_message(
            MessageKey {
                number: 2,
                ..message
            },
            text(),
        ),
    ];
    for write in missing {
        let response = stores.enqueue(write.clone()).await;
        assert_eq!(response, Ok(Enqueued::Missing), "{write:?}");
    }
    let taken = Write::create_application(chat.app, text());
    assert_eq!(stores.enqueue(taken).await, Ok(Enqueued::Taken));
    assert_eq!(
        stores
            .create_message(chat, "no number was used up")
            .await
            .number,
        2
    );
}

#[apply(on_each_backend!)]
async fn jobs_are_claimed_once_and_in_order(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for text in ["a", "b", "c", "d", "e"] {
        stores.create_message(chat, text).await;
    }
    let first = stores
        .claim_some(Kind::CreateMessage, 2, LONG_LEASE)
        .await
        .expect("a batch");
    let second = stores
        .claim_some(Kind::CreateMessage, 2, LONG_LEASE)
        .await
        .expect("a batch");
    let third = stores
        .claim_some(Kind::CreateMessage, 2, LONG_LEASE)
        .await
        .expect("a batch");
    assert_eq!(texts(&first.jobs), ["a", "b"]);
    assert_eq!(texts(&second.jobs), ["c", "d"]);
    assert_eq!(texts(&third.jobs), ["e"]);
    assert_eq!(
        stores.claim_some(Kind::CreateMessage, 2, LONG_LEASE).await,
        None
    );
}

#[apply(on_each_backend!)]
async fn claim_respects_its_byte_limit_but_returns_at_least_one_job(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for _ in 0..3 {
        stores.create_message(chat, &"long ".repeat(3000)).await;
    }
    let limits = confab::stores::ClaimLimits {
        jobs: 10,
        bytes: 40_000,
        lease: LONG_LEASE,
    };
    let claim = || stores.backend.claim(Kind::CreateMessage, &limits);
    assert_eq!(claim().await.unwrap().expect("a batch").jobs.len(), 2);
    assert_eq!(claim().await.unwrap().expect("a batch").jobs.len(), 1);
    stores.create_message(chat, &"long ".repeat(3000)).await;
    let limits = confab::stores::ClaimLimits { bytes: 1, ..limits };
    let claimed = stores.backend.claim(Kind::CreateMessage, &limits).await;
    assert_eq!(claimed.unwrap().expect("a batch").jobs.len(), 1);
}

#[apply(on_each_backend!)]
async fn acknowledged_jobs_are_gone_and_released_jobs_come_next(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    for text in ["a", "b", "c", "d"] {
        stores.create_message(chat, text).await;
    }
    let batch = stores
        .claim_some(Kind::CreateMessage, 3, LONG_LEASE)
        .await
        .expect("a batch");
    queue
        .acknowledge(&batch.lease, &batch.jobs[..1])
        .await
        .expect("acknowledged");
    queue.release(&batch.lease).await.expect("released");
    let again = stores.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&again.jobs), ["b", "c", "d"]);
    assert!(again.jobs.iter().all(|job| job.tries == 0));

    let a = MessageKey { chat, number: 1 };
    assert_eq!(stores.pending(a).await, None);
    let pending = queue.messages(chat, &WHOLE_LIST).await.expect("a response");
    assert_eq!(pending.value.items.len(), 3);
}

#[apply(on_each_backend!)]
async fn batches_are_in_acceptance_order_after_releases(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for text in ["a", "b", "c"] {
        stores.create_message(chat, text).await;
    }
    let mut claims = Vec::new();
    for _ in 0..2 {
        let claim = stores.claim_some(Kind::CreateMessage, 1, LONG_LEASE).await;
        claims.push(claim.expect("a batch").lease);
    }
    for lease in claims {
        stores.backend.release(&lease).await.expect("released");
    }
    let batch = stores.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&batch.jobs), ["a", "b", "c"]);
}

#[apply(on_each_backend!)]
async fn expired_lease_changes_nothing(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    let late = stores
        .claim_some(Kind::CreateMessage, 9, LEASE)
        .await
        .expect("a batch");
    recover(&stores, 1).await;
    let job = &late.jobs[0];
    let fenced = |outcome| matches!(outcome, Err(Error::Fenced(_)));
    assert!(fenced(queue.extend(&late.lease, LONG_LEASE).await));
    assert!(fenced(queue.acknowledge(&late.lease, &late.jobs).await));
    assert!(fenced(queue.fail(&late.lease, job, "late", None).await));
    assert!(fenced(queue.release(&late.lease).await));
    assert!(stores.pending(message).await.is_some());
    assert_eq!(stores.claim(Kind::CreateMessage).await.jobs.len(), 1);
}

#[apply(on_each_backend!)]
async fn extended_lease_does_not_expire(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "hello").await;
    let batch = stores
        .claim_some(Kind::CreateMessage, 9, LEASE)
        .await
        .expect("a batch");
    stores
        .backend
        .extend(&batch.lease, LEASE * 3)
        .await
        .expect("extended");
    let later = stores.open_ahead(LEASE * 2);
    assert_eq!(later.recover().await, Ok(Vec::new()));
    let settled = stores.backend.acknowledge(&batch.lease, &batch.jobs).await;
    assert_eq!(settled, Ok(()));
}

#[apply(on_each_backend!)]
async fn failed_job_is_retried_when_due(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "unstorable").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    let failed = queue
        .fail(&batch.lease, &batch.jobs[0], "no good", Some(DELAY))
        .await;
    assert_eq!(failed, Ok(()));
    let early = stores.open_ahead(DELAY / 2);
    assert_eq!(claim_at(&early).await, None);
    let due = stores.open_ahead(DELAY * 2);
    let again = claim_at(&due).await.expect("the job is due");
    assert_eq!(again.jobs[0].tries, 1);
    due.fail(&again.lease, &again.jobs[0], "no good", Some(DELAY))
        .await
        .expect("failed");
    assert_eq!(claim_at(&due).await, None);
    let stats = queue.stats().await.expect("stats");
    assert_eq!((stats[2].kind, stats[2].delayed), ("create_message", 1));
}

#[apply(on_each_backend!)]
async fn dead_letters_stay_readable_and_keep_their_number(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "unstorable").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    queue
        .fail(&batch.lease, &batch.jobs[0], "no good", None)
        .await
        .expect("failed");
    assert_eq!(
        stores.pending(message).await.expect("readable").text,
        "unstorable"
    );
    assert_eq!(stores.create_message(chat, "the next").await.number, 2);
    let next = stores.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&next.jobs), ["the next"]);
    let stats = queue.stats().await.expect("stats");
    assert_eq!((stats[2].dead, stats[2].leased), (1, 1));
}

#[apply(on_each_backend!)]
async fn job_that_crashes_workers_is_isolated_then_dead(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "deadly").await;
    stores.create_message(chat, "bystander").await;
    for _ in 0..2 {
        let batch = stores
            .claim_some(Kind::CreateMessage, 9, LEASE)
            .await
            .expect("a batch");
        assert_eq!(batch.jobs.len(), 2);
        recover(&stores, 2).await;
    }
    stores.create_message(chat, "newer").await;
    let alone = stores
        .claim_some(Kind::CreateMessage, 9, LEASE)
        .await
        .expect("a batch");
    assert_eq!(texts(&alone.jobs), ["deadly"]);
    recover(&stores, 1).await;
    let bystander = stores
        .claim_some(Kind::CreateMessage, 9, LONG_LEASE)
        .await
        .expect("a batch");
    assert_eq!(texts(&bystander.jobs), ["bystander"]);
    let newer = stores
        .claim_some(Kind::CreateMessage, 9, LONG_LEASE)
        .await
        .expect("a batch");
    assert_eq!(texts(&newer.jobs), ["newer"]);
    assert_eq!(
        stores.claim_some(Kind::CreateMessage, 9, LONG_LEASE).await,
        None
    );
    assert!(stores.pending(message).await.is_some());
    assert_eq!(stores.backend.stats().await.expect("stats")[2].dead, 1);
}

/// Claims messages by the clock of this backend.
async fn claim_at(backend: &Backend) -> Option<Batch> {
    let limits = ClaimLimits {
        jobs: 9,
        bytes: usize::MAX,
        lease: LONG_LEASE,
    };
    let claimed = backend.claim(Kind::CreateMessage, &limits).await;
    claimed.expect("a response")
}

/// Recovers the jobs of leases that have expired after [`LEASE`].
async fn recover(stores: &TestStores, jobs: usize) {
    assert_eq!(stores.backend.recover().await, Ok(Vec::new()));
    let recovered = stores.open_ahead(LEASE * 2).recover().await;
    let recovered = recovered.expect("a response");
    assert_eq!(recovered.iter().map(|of| of.jobs).sum::<usize>(), jobs);
}

#[apply(on_each_backend!)]
async fn writes_over_the_queue_depth_change_nothing(fixture: &Fixture) {
    let stores = TestStores::with(fixture, &[("CONFAB_LIMITS__QUEUE_DEPTH", "3")]).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "the third").await;
    let full = |response| matches!(response, Err(Error::Full(_)));
    let text = "the fourth".to_owned();
    assert!(full(
        stores
            .enqueue(Write::create_message(chat, text.clone()))
            .await
    ));
    assert!(full(
        stores.enqueue(Write::update_message(message, text)).await
    ));
    assert!(full(stores.enqueue(Write::create_chat(chat.app)).await));
    assert_eq!(
        stores.pending(message).await.expect("readable").text,
        "the third"
    );
    // Leased jobs count too.
    let batch = stores.claim(Kind::CreateMessage).await;
    assert!(full(stores.enqueue(Write::create_chat(chat.app)).await));
    stores.store(&batch).await.expect("stored");
    stores
        .backend
        .acknowledge(&batch.lease, &batch.jobs)
        .await
        .expect("acknowledged");
    assert_eq!(
        stores
            .create_message(chat, "now there is room")
            .await
            .number,
        2
    );
}

#[apply(on_each_backend!)]
async fn too_many_dead_letters_stop_writes(fixture: &Fixture) {
    let stores = TestStores::with(fixture, &[("CONFAB_LIMITS__DEAD_LETTERS", "1")]).await;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "unstorable").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    let queue = &stores.backend;
    queue
        .fail(&batch.lease, &batch.jobs[0], "no good", None)
        .await
        .expect("failed");
    let response = stores.enqueue(Write::create_chat(chat.app)).await;
    assert!(matches!(response, Err(Error::Full(_))), "{response:?}");
}

#[apply(on_each_backend!)]
async fn reads_return_the_newest_write_and_never_an_older_one(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "created").await;
    let created = stores.pending(message).await.expect("readable");
    stores.update_message(message, "first").await;
    stores.update_message(message, "second").await;
    let pending = stores.pending(message).await.expect("readable");
    assert_eq!(pending.text, "second");
    assert_eq!(pending.created_at, created.created_at);
    assert!(
        pending
            .updated_at
            .is_some_and(|time| time >= created.created_at)
    );

    // The updates are stored before the creation, which must not become visible again.
    let updates = stores.claim(Kind::UpdateMessage).await;
    stores.store(&updates).await.expect("stored");
    queue
        .acknowledge(&updates.lease, &updates.jobs)
        .await
        .expect("acknowledged");
    assert_eq!(stores.pending(message).await, None);
    assert_eq!(stores.stored(message).await, Some(pending.clone()));
    stores.drain().await;
    assert_eq!(stores.stored(message).await, Some(pending));
}

#[apply(on_each_backend!)]
async fn acknowledgement_keeps_later_writes(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "created").await;
    let creation = stores.claim(Kind::CreateMessage).await;
    stores.update_message(message, "changed").await;
    stores.store(&creation).await.expect("stored");
    stores
        .backend
        .acknowledge(&creation.lease, &creation.jobs)
        .await
        .expect("acknowledged");
    assert_eq!(
        stores.pending(message).await.expect("readable").text,
        "changed"
    );
}

#[apply(on_each_backend!)]
async fn pending_items_are_listed_in_pages(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for n in 1..=5 {
        let message = stores.create_message(chat, &format!("message {n}")).await;
        stores
            .update_message(message, &format!("changed {n}"))
            .await;
    }
    let numbers = async |after, before, limit| {
        let page = Page {
            after,
            before,
            limit,
            ..WHOLE_LIST
        };
        let messages = stores.backend.messages(chat, &page).await;
        let messages = messages.expect("a response").value.items;
        assert!(
            messages
                .iter()
                .all(|message| message.text.starts_with("changed"))
        );
        messages
            .iter()
            .map(|message| message.key.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(None, None, 2).await, [1, 2]);
    assert_eq!(numbers(Some(3), None, 9).await, [4, 5]);
    assert_eq!(numbers(None, Some(4), 2).await, [2, 3]);
    assert_eq!(numbers(Some(1), Some(5), 2).await, [2, 3]);
    assert_eq!(numbers(Some(5), None, 2).await, [0; 0]);
}

#[apply(on_each_backend!)]
async fn another_process_sees_the_same_queue_and_rows(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    stores.drain().await;
    let other = stores.open_again();
    let stored = other.message(message).await.expect("a response").value;
    assert_eq!(stored.expect("stored").text, "hello");
    let stats = other.stats().await.expect("stats");
    assert!(
        stats.iter().all(|kind| kind.waiting + kind.leased == 0),
        "{stats:?}"
    );
}
