//! What Redis forgets is made good from the database.

use confab::{
    domain::Kind,
    stores::{Build, Error},
};
use deadpool_redis::redis;

use crate::{
    rig::Rig,
    support::{Site, on_services},
};

/// Sends Redis a command, past the program.
async fn tell_redis(site: &Site, command: &mut redis::Cmd) {
    let client = redis::Client::open(site.services().redis_url.as_str()).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis");
    command
        .query_async::<()>(&mut connection)
        .await
        .expect("done");
}

async fn empty_redis(site: &Site) {
    let removed = site.services().remove_keys().await;
    removed.expect("removed");
}

async fn numbers_go_on_after_redis_was_emptied(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    for n in 1..=3 {
        rig.say(chat, &format!("message {n}")).await;
    }
    rig.drain().await;
    empty_redis(site).await;
    assert_eq!(rig.say(chat, "the fourth").await.number, 4);
    let application = rig.backend.application(chat.app).await.expect("an answer");
    assert!(matches!(application.value, Some((_, 1))), "{application:?}");
    assert_eq!(
        rig.number(confab::domain::Write::create_chat(chat.app))
            .await,
        2
    );
    let revisions: Vec<_> = {
        rig.drain().await;
        let page = crate::rig::ALL;
        let messages = rig.backend.messages(chat, &page).await.expect("an answer");
        let messages = messages.value.items;
        messages.iter().map(|message| message.revision).collect()
    };
    assert!(revisions.is_sorted(), "{revisions:?}");
}

async fn a_batch_from_before_is_not_stored_behind_the_numbers_given_out_since(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    rig.drain().await;
    rig.say(chat, "in hand").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    empty_redis(site).await;
    let message = rig.say(chat, "after").await;
    assert_eq!(message.number, 1);
    let outcome = rig.store(&batch).await;
    assert!(matches!(outcome, Err(Error::Fenced(_))), "{outcome:?}");
    rig.drain().await;
    assert_eq!(rig.stored(message).await.expect("stored").text, "after");
}

async fn what_redis_kept_goes_on_under_a_new_epoch(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    let message = rig.say(chat, "kept").await;
    // As after a restart: the data are there. That the scripts are forgotten too would be felt by every other test.
    let epoch = format!("{}epoch", site.services().redis_prefix());
    tell_redis(site, redis::cmd("DEL").arg(epoch)).await;
    assert_eq!(rig.pending(message).await.expect("readable").text, "kept");
    assert_eq!(rig.say(chat, "the next").await.number, 2);
    rig.drain().await;
    assert_eq!(rig.stored(message).await.expect("stored").text, "kept");
}

async fn a_database_set_back_behind_redis_is_noticed(site: &Site) {
    let rig = Rig::new(site).await;
    let chat = rig.new_chat().await;
    rig.say(chat, "waiting").await;
    site.execute("UPDATE state SET epoch = 0").await;
    let batch = rig.claim(Kind::CreateMessage).await;
    let outcome = rig.store(&batch).await;
    assert!(matches!(outcome, Err(Error::Fenced(_))), "{outcome:?}");
    rig.backend.release(&batch.lease).await.expect("released");
    rig.backend.recover().await.expect("recovered");
    // The index may be ahead of the rows. It is noted with the new epoch, in one step.
    let build = rig.backend.build().await;
    assert_eq!(build, Ok(Some(Build::Wanted)));
    rig.drain().await;
    assert_eq!(rig.say(chat, "the next").await.number, 2);
}

on_services!(
    numbers_go_on_after_redis_was_emptied,
    a_batch_from_before_is_not_stored_behind_the_numbers_given_out_since,
    what_redis_kept_goes_on_under_a_new_epoch,
    a_database_set_back_behind_redis_is_noticed,
);
