//! The operator's part of [`JobQueue`](confab::stores::Backend): listing, retrying, killing, pausing.

use std::time::Duration;

use confab::{
    domain::{Kind, MessageKey, Revision, Write},
    stores::{Enqueued, Error, JobInfo, JobState},
};

use crate::{
    rig::{LONG, Rig, texts},
    support::{Site, on_each_backing},
};

const NEVER: Duration = Duration::from_secs(3600);

/// Claims the creations that wait, and has the first of them fail for good; the others wait again.
async fn spoil(rig: &Rig, kind: Kind) -> Revision {
    let batch = rig.claim(kind).await;
    fail(rig, &batch, None).await
}

async fn fail(rig: &Rig, batch: &confab::stores::Batch, retry_after: Option<Duration>) -> Revision {
    let queue = &rig.backend;
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

async fn list(rig: &Rig, state: JobState) -> Vec<Revision> {
    let jobs = rig.backend.jobs(state, None, None, 1000).await;
    let jobs = jobs.expect("a list");
    assert!(jobs.iter().all(|job| job.state == state), "{jobs:?}");
    jobs.iter().map(|job| job.id).collect()
}

async fn show(rig: &Rig, id: Revision) -> Option<JobInfo> {
    rig.backend.job(id).await.expect("an answer")
}

async fn jobs_are_listed_by_state_and_kind_in_their_order(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    for n in 1..=6 {
        rig.say(chat, &format!("message {n}")).await;
    }
    let message = MessageKey { chat, number: 3 };
    rig.change(message, "changed").await;
    let all = list(&rig, JobState::Waiting).await;
    assert_eq!(all.len(), 9);
    assert!(all.is_sorted());

    let leased = rig.claim_some(Kind::CreateMessage, 1, LONG).await;
    assert_eq!(leased.expect("a batch").jobs[0].revision, all[2]);
    let delayed = rig.claim_some(Kind::CreateMessage, 1, LONG).await;
    fail(&rig, &delayed.expect("a batch"), Some(NEVER)).await;
    // Who dies first has nothing to do with who is older.
    let third = rig.claim_some(Kind::CreateMessage, 1, LONG).await;
    assert_eq!(spoil(&rig, Kind::CreateMessage).await, all[5]);
    fail(&rig, &third.expect("a batch"), None).await;

    assert_eq!(list(&rig, JobState::Leased).await, [all[2]]);
    assert_eq!(list(&rig, JobState::Delayed).await, [all[3]]);
    assert_eq!(list(&rig, JobState::Dead).await, [all[4], all[5]]);
    assert_eq!(
        list(&rig, JobState::Waiting).await,
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
    // From where one was that is there no more, too.
    assert_eq!(
        page(JobState::Dead, None, Some(all[3]), 9).await,
        [all[4], all[5]]
    );
    let none: [Revision; 0] = [];
    let updates = Some(Kind::UpdateMessage);
    assert_eq!(page(JobState::Dead, updates, None, 9).await, none);
    assert_eq!(page(JobState::Leased, updates, None, 9).await, none);
}

async fn a_job_is_shown_with_what_it_writes(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "with \"kind\":\"quotes\", \"text\":").await;
    let accepted = rig.pending(message).await.expect("readable");
    let id = spoil(&rig, Kind::CreateMessage).await;
    assert_eq!(id, accepted.revision);
    let job = show(&rig, id).await.expect("there");
    assert_eq!((job.id, job.kind.as_str()), (id, "create_message"));
    assert_eq!(job.state, JobState::Dead);
    assert_eq!(job.target, message.to_string());
    assert_eq!(job.accepted_at, accepted.created_at);
    assert!(job.due.is_some_and(|since| since >= job.accepted_at));
    assert_eq!((job.tries, job.crashes), (1, 0));
    assert_eq!(job.error.as_deref(), Some("no good"));
    assert!(job.payload.as_ref().is_some_and(|it| it.contains("quotes")));

    let dead = rig.backend.jobs(JobState::Dead, None, None, 9).await;
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
        let jobs = rig.backend.jobs(JobState::Waiting, Some(kind), None, 9);
        let jobs = jobs.await.expect("a list");
        assert_eq!((jobs.len(), &jobs[0].target), (1, &target));
    }
    assert_eq!(show(&rig, Revision(id.0 + 1)).await, None);
}

async fn a_retried_job_waits_as_if_it_had_never_failed(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    rig.say(chat, "dead").await;
    let dead = spoil(&rig, Kind::CreateMessage).await;
    rig.say(chat, "delayed").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    let delayed = fail(&rig, &batch, Some(NEVER)).await;
    rig.say(chat, "never failed").await;
    for id in [delayed, dead] {
        assert_eq!(queue.retry(id).await, Ok(true));
        assert_eq!(queue.retry(id).await, Ok(false));
        let job = show(&rig, id).await.expect("there");
        assert_eq!((job.state, job.due), (JobState::Waiting, None));
        assert_eq!((job.tries, job.crashes, job.error), (0, 0, None));
    }
    let batch = rig.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&batch.jobs), ["dead", "delayed", "never failed"]);
    assert!(batch.jobs.iter().all(|job| job.tries == 0));
    assert_eq!(queue.retry(dead).await, Ok(false), "it is leased");
    rig.store(&batch).await.expect("stored");
    let settled = queue.acknowledge(&batch.lease, &batch.jobs).await;
    assert_eq!(settled, Ok(()));
    assert_eq!(queue.retry(dead).await, Ok(false), "it is stored");
    assert_eq!(show(&rig, dead).await, None);
}

async fn a_retried_job_that_was_overtaken_changes_nothing(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "created").await;
    rig.drain().await;
    rig.change(message, "older").await;
    let older = spoil(&rig, Kind::UpdateMessage).await;
    rig.change(message, "newer").await;
    rig.drain().await;
    assert_eq!(rig.pending(message).await, None);
    let stored = rig.stored(message).await.expect("stored");
    assert_eq!(stored.text, "newer");

    assert_eq!(queue.retry(older).await, Ok(true));
    assert_eq!(rig.pending(message).await, None);
    rig.drain().await;
    assert_eq!(rig.stored(message).await, Some(stored));
    assert_eq!(rig.found(chat, "older", &crate::rig::ALL).await, [0; 0]);
}

async fn a_killed_job_is_gone_and_nothing_else(site: &Site) {
    let rig = Rig::with(site, &[("CONFAB_LIMITS__DEAD_LETTERS", "1")]).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "created").await;
    rig.change(message, "newer").await;
    let creation = spoil(&rig, Kind::CreateMessage).await;
    let text = || "one more".to_owned();
    let full = rig.enqueue(Write::create_message(chat, text()));
    assert!(matches!(full.await, Err(Error::Full(_))));
    assert_eq!(queue.discard(creation).await, Ok(true));
    assert_eq!(queue.discard(creation).await, Ok(false));
    assert_eq!(queue.retry(creation).await, Ok(false));
    assert_eq!(show(&rig, creation).await, None);
    // What is written to the same message is still to be read, and there is room again.
    assert_eq!(rig.pending(message).await.expect("there").text, "newer");
    assert_eq!(rig.say(chat, "one more").await.number, 2);

    // Of an update that is killed, the older write comes to light, which is to be stored still.
    let newer = rig.pending(message).await.expect("there");
    rig.change(message, "newest").await;
    let waiting = rig.claim_some(Kind::UpdateMessage, 1, LONG).await;
    let newest = spoil(&rig, Kind::UpdateMessage).await;
    let waiting = waiting.expect("a batch");
    queue.release(&waiting.lease).await.expect("released");
    assert_eq!(queue.discard(newer.revision).await, Ok(false), "it waits");
    assert_eq!(queue.discard(newest).await, Ok(true));
    assert_eq!(rig.pending(message).await, Some(newer));
    rig.drain().await;
    assert_eq!(rig.stored(message).await.expect("stored").text, "newer");
}

async fn a_killed_creation_is_read_no_more(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "hello").await;
    for kind in [
        Kind::CreateApplication,
        Kind::CreateChat,
        Kind::CreateMessage,
    ] {
        let id = spoil(&rig, kind).await;
        assert_eq!(queue.discard(id).await, Ok(true), "{kind:?}");
    }
    let application = queue.application(chat.app).await.expect("an answer");
    assert_eq!(application.value, None);
    let read = queue.chat(chat).await.expect("an answer");
    assert_eq!(read.value, None);
    assert_eq!(rig.read(message).await, None);
    // Its number is not given out again, and an update of it is queued as of a message that is stored.
    assert_eq!(rig.say(chat, "the next").await.number, 2);
    let text = "brought to life".to_owned();
    let update = rig.enqueue(Write::update_message(message, text)).await;
    assert!(matches!(update, Ok(Enqueued::Accepted { number: 1, .. })));
}

async fn a_paused_kind_is_accepted_and_read_but_not_claimed(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    rig.say(chat, "before").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    for _ in 0..2 {
        let paused = queue.set_paused(Kind::CreateMessage, true).await;
        assert_eq!(paused, Ok(()));
    }
    // What is claimed can be settled; what comes waits, whichever process asks for it.
    queue.release(&batch.lease).await.expect("released");
    let message = rig.say(chat, "meanwhile").await;
    assert!(rig.pending(message).await.is_some());
    assert_eq!(rig.claim_some(Kind::CreateMessage, 9, LONG).await, None);
    assert!(rig.claim_some(Kind::CreateChat, 9, LONG).await.is_some());
    let stats = rig.another().stats().await.expect("stats");
    let paused: Vec<bool> = stats.iter().map(|kind| kind.paused).collect();
    assert_eq!(paused, [false, false, true, false]);
    assert_eq!(stats[2].waiting, 2);
    for _ in 0..2 {
        let resumed = queue.set_paused(Kind::CreateMessage, false).await;
        assert_eq!(resumed, Ok(()));
    }
    let batch = rig.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&batch.jobs), ["before", "meanwhile"]);
}

on_each_backing!(
    jobs_are_listed_by_state_and_kind_in_their_order,
    a_job_is_shown_with_what_it_writes,
    a_retried_job_waits_as_if_it_had_never_failed,
    a_retried_job_that_was_overtaken_changes_nothing,
    a_killed_job_is_gone_and_nothing_else,
    a_killed_creation_is_read_no_more,
    a_paused_kind_is_accepted_and_read_but_not_claimed,
);
