//! [`JobQueue`](confab::stores::Backend): accepting, claiming, settling, recovering.

use std::{collections::BTreeSet, time::Duration};

use confab::{
    domain::{AppId, ChatKey, Kind, MessageKey, Page, Write},
    stores::{Enqueued, Error},
};

use crate::{
    rig::{ALL, LONG, Rig, texts},
    support::{Site, eventually, on_each_backing},
};

const SHORT: Duration = Duration::from_millis(50);

async fn numbers_are_gapless_and_unique_whoever_asks(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let say = async |client: usize| {
        let mut numbers = Vec::new();
        for n in 0..25 {
            numbers.push(rig.say(chat, &format!("{n} of {client}")).await.number);
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

async fn nothing_is_accepted_for_what_does_not_exist(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "hello").await;
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
        let answer = rig.enqueue(write.clone()).await;
        assert_eq!(answer, Ok(Enqueued::Missing), "{write:?}");
    }
    let taken = Write::create_application(chat.app, text());
    assert_eq!(rig.enqueue(taken).await, Ok(Enqueued::Taken));
    assert_eq!(rig.say(chat, "no number was used up").await.number, 2);
}

async fn jobs_are_claimed_once_and_in_order(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for text in ["a", "b", "c", "d", "e"] {
        rig.say(chat, text).await;
    }
    let first = rig
        .claim_some(Kind::CreateMessage, 2, LONG)
        .await
        .expect("a batch");
    let second = rig
        .claim_some(Kind::CreateMessage, 2, LONG)
        .await
        .expect("a batch");
    let third = rig
        .claim_some(Kind::CreateMessage, 2, LONG)
        .await
        .expect("a batch");
    assert_eq!(texts(&first.jobs), ["a", "b"]);
    assert_eq!(texts(&second.jobs), ["c", "d"]);
    assert_eq!(texts(&third.jobs), ["e"]);
    assert_eq!(rig.claim_some(Kind::CreateMessage, 2, LONG).await, None);
}

async fn a_claim_keeps_to_its_bytes_but_takes_one_at_least(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for _ in 0..3 {
        rig.say(chat, &"long ".repeat(3000)).await;
    }
    let limits = confab::stores::ClaimLimits {
        jobs: 10,
        bytes: 40_000,
        lease: LONG,
    };
    let claim = || rig.backend.claim(Kind::CreateMessage, &limits);
    assert_eq!(claim().await.unwrap().expect("a batch").jobs.len(), 2);
    assert_eq!(claim().await.unwrap().expect("a batch").jobs.len(), 1);
    rig.say(chat, &"long ".repeat(3000)).await;
    let limits = confab::stores::ClaimLimits { bytes: 1, ..limits };
    let claimed = rig.backend.claim(Kind::CreateMessage, &limits).await;
    assert_eq!(claimed.unwrap().expect("a batch").jobs.len(), 1);
}

async fn what_is_acknowledged_is_gone_and_what_is_released_comes_next(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    for text in ["a", "b", "c", "d"] {
        rig.say(chat, text).await;
    }
    let batch = rig
        .claim_some(Kind::CreateMessage, 3, LONG)
        .await
        .expect("a batch");
    queue
        .acknowledge(&batch.lease, &batch.jobs[..1])
        .await
        .expect("acknowledged");
    queue.release(&batch.lease).await.expect("released");
    let again = rig.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&again.jobs), ["b", "c", "d"]);
    assert!(again.jobs.iter().all(|job| job.tries == 0));

    let a = MessageKey { chat, number: 1 };
    assert_eq!(rig.pending(a).await, None);
    let pending = queue.messages(chat, &ALL).await.expect("an answer");
    assert_eq!(pending.value.items.len(), 3);
}

async fn a_batch_is_in_the_order_of_acceptance_whatever_came_back_when(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for text in ["a", "b", "c"] {
        rig.say(chat, text).await;
    }
    let mut claims = Vec::new();
    for _ in 0..2 {
        let claim = rig.claim_some(Kind::CreateMessage, 1, LONG).await;
        claims.push(claim.expect("a batch").lease);
    }
    for lease in claims {
        rig.backend.release(&lease).await.expect("released");
    }
    let batch = rig.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&batch.jobs), ["a", "b", "c"]);
}

async fn a_claimer_whose_lease_is_over_changes_nothing(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "hello").await;
    let late = rig
        .claim_some(Kind::CreateMessage, 9, SHORT)
        .await
        .expect("a batch");
    recover(&rig, 1).await;
    let job = &late.jobs[0];
    let fenced = |outcome| matches!(outcome, Err(Error::Fenced(_)));
    assert!(fenced(queue.extend(&late.lease, LONG).await));
    assert!(fenced(queue.acknowledge(&late.lease, &late.jobs).await));
    assert!(fenced(queue.fail(&late.lease, job, "late", None).await));
    assert!(fenced(queue.release(&late.lease).await));
    assert!(rig.pending(message).await.is_some());
    assert_eq!(rig.claim(Kind::CreateMessage).await.jobs.len(), 1);
}

async fn an_extended_lease_lasts(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    rig.say(chat, "hello").await;
    let batch = rig
        .claim_some(Kind::CreateMessage, 9, SHORT)
        .await
        .expect("a batch");
    rig.backend
        .extend(&batch.lease, LONG)
        .await
        .expect("extended");
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(rig.backend.recover().await, Ok(Vec::new()));
    let settled = rig.backend.acknowledge(&batch.lease, &batch.jobs).await;
    assert_eq!(settled, Ok(()));
}

async fn a_job_that_fails_is_tried_again_when_its_time_has_come(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    rig.say(chat, "spoilt").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    let failed = queue
        .fail(&batch.lease, &batch.jobs[0], "no good", Some(SHORT))
        .await;
    assert_eq!(failed, Ok(()));
    let again = eventually("the job comes back", async || {
        rig.claim_some(Kind::CreateMessage, 9, LONG)
            .await
            .ok_or("nothing waits")
    })
    .await;
    assert_eq!(again.jobs[0].tries, 1);
    let never = Some(Duration::from_secs(3600));
    queue
        .fail(&again.lease, &again.jobs[0], "no good", never)
        .await
        .expect("failed");
    assert_eq!(rig.claim_some(Kind::CreateMessage, 9, LONG).await, None);
    let stats = queue.stats().await.expect("stats");
    assert_eq!((stats[2].kind, stats[2].delayed), ("create_message", 1));
}

async fn dead_letters_stay_readable_and_keep_their_number(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "spoilt").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    queue
        .fail(&batch.lease, &batch.jobs[0], "no good", None)
        .await
        .expect("failed");
    assert_eq!(rig.pending(message).await.expect("readable").text, "spoilt");
    assert_eq!(rig.say(chat, "the next").await.number, 2);
    let next = rig.claim(Kind::CreateMessage).await;
    assert_eq!(texts(&next.jobs), ["the next"]);
    let stats = queue.stats().await.expect("stats");
    assert_eq!((stats[2].dead, stats[2].leased), (1, 1));
}

async fn a_job_whose_claimers_die_is_claimed_alone_and_then_given_up(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "deadly").await;
    rig.say(chat, "bystander").await;
    for _ in 0..2 {
        let batch = rig
            .claim_some(Kind::CreateMessage, 9, SHORT)
            .await
            .expect("a batch");
        assert_eq!(batch.jobs.len(), 2);
        recover(&rig, 2).await;
    }
    rig.say(chat, "newer").await;
    let alone = rig
        .claim_some(Kind::CreateMessage, 9, SHORT)
        .await
        .expect("a batch");
    assert_eq!(texts(&alone.jobs), ["deadly"]);
    recover(&rig, 1).await;
    let bystander = rig
        .claim_some(Kind::CreateMessage, 9, LONG)
        .await
        .expect("a batch");
    assert_eq!(texts(&bystander.jobs), ["bystander"]);
    let newer = rig
        .claim_some(Kind::CreateMessage, 9, LONG)
        .await
        .expect("a batch");
    assert_eq!(texts(&newer.jobs), ["newer"]);
    assert_eq!(rig.claim_some(Kind::CreateMessage, 9, LONG).await, None);
    assert!(rig.pending(message).await.is_some());
    assert_eq!(rig.backend.stats().await.expect("stats")[2].dead, 1);
}

/// Waits until leases are over, and takes back what they held.
async fn recover(rig: &Rig, jobs: usize) {
    eventually("the lease is over", async || {
        match rig.backend.recover().await {
            Ok(recovered) if recovered.iter().map(|of| of.jobs).sum::<usize>() == jobs => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

async fn beyond_the_queue_depth_nothing_is_changed(site: &Site) {
    let rig = Rig::with(site, &[("CONFAB_LIMITS__QUEUE_DEPTH", "3")]).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "the third").await;
    let full = |answer| matches!(answer, Err(Error::Full(_)));
    let text = "the fourth".to_owned();
    assert!(full(
        rig.enqueue(Write::create_message(chat, text.clone())).await
    ));
    assert!(full(
        rig.enqueue(Write::update_message(message, text)).await
    ));
    assert!(full(rig.enqueue(Write::create_chat(chat.app)).await));
    assert_eq!(
        rig.pending(message).await.expect("readable").text,
        "the third"
    );
    // What is leased counts too.
    let batch = rig.claim(Kind::CreateMessage).await;
    assert!(full(rig.enqueue(Write::create_chat(chat.app)).await));
    rig.store(&batch).await.expect("stored");
    rig.backend
        .acknowledge(&batch.lease, &batch.jobs)
        .await
        .expect("acknowledged");
    assert_eq!(rig.say(chat, "now there is room").await.number, 2);
}

async fn too_many_dead_letters_stop_writes(site: &Site) {
    let rig = Rig::with(site, &[("CONFAB_LIMITS__DEAD_LETTERS", "1")]).await;
    let chat = rig.new_chat().await;
    rig.say(chat, "spoilt").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    let queue = &rig.backend;
    queue
        .fail(&batch.lease, &batch.jobs[0], "no good", None)
        .await
        .expect("failed");
    let answer = rig.enqueue(Write::create_chat(chat.app)).await;
    assert!(matches!(answer, Err(Error::Full(_))), "{answer:?}");
}

async fn the_newest_write_is_read_and_an_older_one_never_again(site: &Site) {
    let rig = Rig::new(site).await;
    let queue = &rig.backend;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "created").await;
    let created = rig.pending(message).await.expect("readable");
    rig.change(message, "first").await;
    rig.change(message, "second").await;
    let pending = rig.pending(message).await.expect("readable");
    assert_eq!(pending.text, "second");
    assert_eq!(pending.created_at, created.created_at);
    assert!(
        pending
            .updated_at
            .is_some_and(|time| time >= created.created_at)
    );

    // The updates are stored before the creation, which must not come to light again.
    let updates = rig.claim(Kind::UpdateMessage).await;
    rig.store(&updates).await.expect("stored");
    queue
        .acknowledge(&updates.lease, &updates.jobs)
        .await
        .expect("acknowledged");
    assert_eq!(rig.pending(message).await, None);
    assert_eq!(rig.stored(message).await, Some(pending.clone()));
    rig.drain().await;
    assert_eq!(rig.stored(message).await, Some(pending));
}

async fn an_acknowledgement_leaves_what_came_after(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "created").await;
    let creation = rig.claim(Kind::CreateMessage).await;
    rig.change(message, "changed").await;
    rig.store(&creation).await.expect("stored");
    rig.backend
        .acknowledge(&creation.lease, &creation.jobs)
        .await
        .expect("acknowledged");
    assert_eq!(
        rig.pending(message).await.expect("readable").text,
        "changed"
    );
}

async fn what_is_not_stored_yet_is_listed_in_pages(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for n in 1..=5 {
        let message = rig.say(chat, &format!("message {n}")).await;
        rig.change(message, &format!("changed {n}")).await;
    }
    let numbers = async |after, before, limit| {
        let page = Page {
            after,
            before,
            limit,
        };
        let messages = rig.backend.messages(chat, &page).await;
        let messages = messages.expect("an answer").value.items;
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

async fn another_process_sees_the_same_queue_and_rows(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "hello").await;
    rig.drain().await;
    let other = rig.another();
    let stored = other.message(message).await.expect("an answer").value;
    assert_eq!(stored.expect("stored").text, "hello");
    let stats = other.stats().await.expect("stats");
    assert!(
        stats.iter().all(|kind| kind.waiting + kind.leased == 0),
        "{stats:?}"
    );
}

on_each_backing!(
    numbers_are_gapless_and_unique_whoever_asks,
    nothing_is_accepted_for_what_does_not_exist,
    jobs_are_claimed_once_and_in_order,
    a_claim_keeps_to_its_bytes_but_takes_one_at_least,
    what_is_acknowledged_is_gone_and_what_is_released_comes_next,
    a_batch_is_in_the_order_of_acceptance_whatever_came_back_when,
    a_claimer_whose_lease_is_over_changes_nothing,
    an_extended_lease_lasts,
    a_job_that_fails_is_tried_again_when_its_time_has_come,
    dead_letters_stay_readable_and_keep_their_number,
    a_job_whose_claimers_die_is_claimed_alone_and_then_given_up,
    beyond_the_queue_depth_nothing_is_changed,
    too_many_dead_letters_stop_writes,
    the_newest_write_is_read_and_an_older_one_never_again,
    an_acknowledgement_leaves_what_came_after,
    what_is_not_stored_yet_is_listed_in_pages,
    another_process_sees_the_same_queue_and_rows,
);
