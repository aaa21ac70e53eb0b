//! The operator's part of the queue: listing, retrying, discarding, pausing.

use std::time::Duration;

use confab::{
    domain::{Kind, MessageKey, Revision, Write},
    stores::{Enqueued, Error, JobInfo, JobState},
};

use crate::{
    support::{Fixture, apply, on_each_backend},
    test_stores::{LONG_LEASE, TestStores, texts},
};

const NEVER: Duration = Duration::from_secs(3600);

/// Claims all waiting jobs of a kind and fails the first one permanently; the others are released.
async fn fail_first_permanently(stores: &TestStores, kind: Kind) -> Revision {
    let batch = stores.claim(kind).await;
    fail(stores, &batch, None).await
}

async fn fail(
    stores: &TestStores,
    batch: &confab::stores::Batch,
    retry_after: Option<Duration>,
) -> Revision {
    let queue = &stores.backend;
    let job = &batch.jobs[0];
    queue
        .fail(&batch.lease, job, "no good", retry_after)
        .await
        .expect("failed");
    if batch.jobs.len() > 1 {
        queue.release(&batch.lease).await.expect("released");
    }
    job.revision
}

async fn list(stores: &TestStores, state: JobState) -> Vec<Revision> {
    let jobs = stores.backend.jobs(state, None, None, 1000).await;
    let jobs = jobs.expect("a list");
    assert!(jobs.iter().all(|job| job.state == state), "{jobs:?}");
    jobs.iter().map(|job| job.id).collect()
}

async fn show(stores: &TestStores, id: Revision) -> Option<JobInfo> {
    stores.backend.job(id).await.expect("a response")
}

#[apply(on_each_backend!)]
async fn jobs_are_listed_by_state_and_kind_in_order(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    for n in 1..=6 {
        stores.create_message(chat, &format!("message {n}")).await;
    }
    let message = MessageKey { chat, number: 3 };
    stores.update_message(message, "changed").await;
    let all = list(&stores, JobState::Waiting).await;
    assert_eq!(all.len(), 9);
    assert!(all.is_sorted());

    let leased = stores.claim_some(Kind::CreateMessage, 1, LONG_LEASE).await;
    assert_eq!(leased.expect("a batch").jobs[0].revision, all[2]);
    let delayed = stores.claim_some(Kind::CreateMessage, 1, LONG_LEASE).await;
    fail(&stores, &delayed.expect("a batch"), Some(NEVER)).await;
    // The order of failures does not affect the order of the list.
    let third = stores.claim_some(Kind::CreateMessage, 1, LONG_LEASE).await;
    assert_eq!(
        fail_first_permanently(&stores, Kind::CreateMessage).await,
        all[5]
    );
    fail(&stores, &third.expect("a batch"), None).await;

    assert_eq!(list(&stores, JobState::Leased).await, [all[2]]);
    assert_eq!(list(&stores, JobState::Delayed).await, [all[3]]);
    assert_eq!(list(&stores, JobState::Dead).await, [all[4], all[5]]);
    assert_eq!(
        list(&stores, JobState::Waiting).await,
        [all[0], all[1], all[6], all[7], all[8]]
    );
    let page = async |state, kind, after, limit| {
        let jobs = queue.jobs(state, kind, after, limit).await.expect("a list");
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    let messages = Some(Kind::CreateMessage);
    let waiting = JobState::Waiting;
    assert_eq!(page(waiting, messages, None, 9).await, [all[6], all[7]]);
    assert_eq!(page(waiting, messages, Some(all[6]), 9).await, [all[7]]);
    assert_eq!(page(waiting, None, Some(all[0]), 2).await, [all[1], all[6]]);
    assert_eq!(page(JobState::Dead, messages, None, 1).await, [all[4]]);
    // `after` may name a job that no longer exists.
    assert_eq!(
        page(JobState::Dead, None, Some(all[3]), 9).await,
        [all[4], all[5]]
    );
    let none: [Revision; 0] = [];
    let updates = Some(Kind::UpdateMessage);
    assert_eq!(page(JobState::Dead, updates, None, 9).await, none);
    assert_eq!(page(JobState::Leased, updates, None, 9).await, none);
}

#[apply(on_each_backend!)]
async fn job_shows_what_it_writes(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores
        .create_message(chat, "with \"kind\":\"quotes\", \"text\":")
        .await;
    let accepted = stores.pending(message).await.expect("readable");
    let id = fail_first_permanently(&stores, Kind::CreateMessage).await;
    assert_eq!(id, accepted.revision);
    let job = show(&stores, id).await.expect("there");
    assert_eq!((job.id, job.kind.as_str()), (id, "create_message"));
    assert_eq!(job.state, JobState::Dead);
    assert_eq!(job.target, message.to_string());
    assert_eq!(job.accepted_at, accepted.created_at);
    assert!(job.due.is_some_and(|since| since >= job.accepted_at));
    assert_eq!((job.tries, job.crashes), (1, 0));
    assert_eq!(job.error.as_deref(), Some("no good"));
    assert!(job.payload.as_ref().is_some_and(|it| it.contains("quotes")));

    let dead = stores.backend.jobs(JobState::Dead, None, None, 9).await;
    let listed = dead.expect("a list").remove(0);
    assert_eq!(
        listed,
        JobInfo {
            payload: None,
            ..job
        }
    );
    let targets = [
        (Kind::CreateApplication, chat.app.to_string()),
        (Kind::CreateChat, chat.to_string()),
    ];
    for (kind, target) in targets {
        let jobs = stores.backend.jobs(JobState::Waiting, Some(kind), None, 9);
        let jobs = jobs.await.expect("a list");
        assert_eq!((jobs.len(), &jobs[0].target), (1, &target));
    }
    assert_eq!(show(&stores, Revision(id.0 + 1)).await, None);
}

#[apply(on_each_backend!)]
async fn retried_job_waits_with_reset_counters(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "dead").await;
    let dead = fail_first_permanently(&stores, Kind::CreateMessage).await;
    stores.create_message(chat, "delayed").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    let delayed = fail(&stores, &batch, Some(NEVER)).await;
    stores.create_message(chat, "never failed").await;
    for id in [delayed, dead] {
        assert_eq!(queue.retry(id).await, Ok(true));
        assert_eq!(queue.retry(id).await, Ok(false));
        let job = show(&stores, id).await.expect("there");
        assert_eq!((job.state, job.due), (JobState::Waiting, None));
        assert_eq!((job.tries, job.crashes, job.error), (0, 0, None));
    }
    let batch = stores.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&batch.jobs), ["dead", "delayed", "never failed"]);
    assert!(batch.jobs.iter().all(|job| job.tries == 0));
    assert_eq!(queue.retry(dead).await, Ok(false), "it is leased");
    stores.store(&batch).await.expect("stored");
    let settled = queue.acknowledge(&batch.lease, &batch.jobs).await;
    assert_eq!(settled, Ok(()));
    assert_eq!(queue.retry(dead).await, Ok(false), "it is stored");
    assert_eq!(show(&stores, dead).await, None);
}

#[apply(on_each_backend!)]
async fn retried_superseded_job_changes_nothing(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "created").await;
    stores.drain().await;
    stores.update_message(message, "older").await;
    let older = fail_first_permanently(&stores, Kind::UpdateMessage).await;
    stores.update_message(message, "newer").await;
    stores.drain().await;
    assert_eq!(stores.pending(message).await, None);
    let stored = stores.stored(message).await.expect("stored");
    assert_eq!(stored.text, "newer");

    assert_eq!(queue.retry(older).await, Ok(true));
    assert_eq!(stores.pending(message).await, None);
    stores.drain().await;
    assert_eq!(stores.stored(message).await, Some(stored));
    assert_eq!(
        stores
            .search_numbers(chat, "older", &crate::test_stores::WHOLE_LIST)
            .await,
        [0; 0]
    );
}

#[apply(on_each_backend!)]
async fn discarding_a_job_removes_only_that_job(fixture: &Fixture) {
    let stores = TestStores::with(fixture, &[("CONFAB_LIMITS__DEAD_LETTERS", "1")]).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "created").await;
    stores.update_message(message, "newer").await;
    let creation = fail_first_permanently(&stores, Kind::CreateMessage).await;
    let text = || "one more".to_owned();
    let full = stores.enqueue(Write::create_message(chat, text()));
    assert!(matches!(full.await, Err(Error::Full(_))));
    assert_eq!(queue.discard(creation).await, Ok(true));
    assert_eq!(queue.discard(creation).await, Ok(false));
    assert_eq!(queue.retry(creation).await, Ok(false));
    assert_eq!(show(&stores, creation).await, None);
    // The message is deleted, with its pending update, and there is capacity again.
    assert_eq!(stores.read(message).await, None);
    let message = stores.create_message(chat, "one more").await;
    assert_eq!(message.number, 2);
    stores.drain().await;

    // After a pending update is discarded, reads return the text before, as a new version.
    stores.update_message(message, "newer").await;
    let newer = stores.pending(message).await.expect("there");
    stores.update_message(message, "newest").await;
    let waiting = stores.claim_some(Kind::UpdateMessage, 1, LONG_LEASE).await;
    let newest = fail_first_permanently(&stores, Kind::UpdateMessage).await;
    let waiting = waiting.expect("a batch");
    queue.release(&waiting.lease).await.expect("released");
    assert_eq!(queue.discard(newer.revision).await, Ok(false), "it waits");
    assert_eq!(queue.discard(newest).await, Ok(true));
    let again = stores.pending(message).await.expect("there");
    assert_eq!(again.text, newer.text);
    assert!(again.revision > newest);
    stores.drain().await;
    assert_eq!(stores.stored(message).await.expect("stored").text, "newer");
}

#[apply(on_each_backend!)]
async fn discarding_an_update_that_is_not_the_newest_changes_nothing(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    stores.drain().await;
    stores.update_message(message, "refused").await;
    let refused = fail_first_permanently(&stores, Kind::UpdateMessage).await;
    stores.update_message(message, "newest").await;
    let newest = stores.pending(message).await;
    assert_eq!(queue.discard(refused).await, Ok(true));
    assert_eq!(stores.pending(message).await, newest);
}

#[apply(on_each_backend!)]
async fn deletion_is_not_discarded(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    stores.drain().await;
    for (write, kind) in [
        (Write::delete_message(message), Kind::DeleteMessage),
        (Write::delete_chat(chat), Kind::DeleteChat),
        (Write::delete_application(chat.app), Kind::DeleteApplication),
    ] {
        stores.number(write).await;
        let deletion = fail_first_permanently(&stores, kind).await;
        assert_eq!(queue.discard(deletion).await, Ok(false), "{kind:?}");
        let refused = stores.maintenance().discard_job(deletion).await;
        let refused = refused.expect_err("refused").to_string();
        assert!(
            refused.ends_with("is dead: a deletion can only be retried"),
            "{refused}"
        );
        assert_eq!(queue.retry(deletion).await, Ok(true));
        stores.drain().await;
        assert_eq!(stores.read(message).await, None);
    }
}

#[apply(on_each_backend!)]
async fn discarded_creation_is_a_deletion(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "hello").await;
    let discard = async |kind| {
        let id = fail_first_permanently(&stores, kind).await;
        assert_eq!(queue.discard(id).await, Ok(true), "{kind:?}");
    };
    let missing = async |write: Write| {
        let outcome = stores.enqueue(write.clone()).await;
        assert_eq!(outcome, Ok(Enqueued::Missing), "{write:?}");
    };
    // Its number is not reused, and it cannot be updated.
    discard(Kind::CreateMessage).await;
    assert_eq!(stores.read(message).await, None);
    assert_eq!(stores.create_message(chat, "the next").await.number, 2);
    missing(Write::update_message(message, "brought to life")).await;

    discard(Kind::CreateChat).await;
    let read = queue.chat(chat).await.expect("a response");
    assert_eq!(read.value, None);
    assert_eq!(stores.number(Write::create_chat(chat.app)).await, 2);
    missing(Write::create_message(chat, "late")).await;

    discard(Kind::CreateApplication).await;
    let application = queue.application(chat.app).await.expect("a response");
    assert_eq!(application.value, None);
    missing(Write::create_chat(chat.app)).await;
    stores.drain().await;
    assert_eq!(stores.read(message).await, None);
    missing(Write::create_chat(chat.app)).await;
}

#[apply(on_each_backend!)]
async fn paused_kind_is_accepted_and_readable_but_not_claimed(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let queue = &stores.backend;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "before").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    for _ in 0..2 {
        let paused = queue.set_paused(Kind::CreateMessage, true).await;
        assert_eq!(paused, Ok(()));
    }
    // Claimed jobs can be settled; new jobs wait, whichever process claims.
    queue.release(&batch.lease).await.expect("released");
    let message = stores.create_message(chat, "meanwhile").await;
    assert!(stores.pending(message).await.is_some());
    assert_eq!(
        stores.claim_some(Kind::CreateMessage, 9, LONG_LEASE).await,
        None
    );
    assert!(
        stores
            .claim_some(Kind::CreateChat, 9, LONG_LEASE)
            .await
            .is_some()
    );
    let stats = stores.open_again().stats().await.expect("stats");
    let paused: Vec<bool> = stats.iter().map(|kind| kind.paused).collect();
    assert_eq!(paused, Kind::ALL.map(|kind| kind == Kind::CreateMessage));
    assert_eq!(stats[2].waiting, 2);
    for _ in 0..2 {
        let resumed = queue.set_paused(Kind::CreateMessage, false).await;
        assert_eq!(resumed, Ok(()));
    }
    let batch = stores.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&batch.jobs), ["before", "meanwhile"]);
}
