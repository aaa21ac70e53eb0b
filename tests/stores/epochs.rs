//! Recovery of lost Redis data from the database.

use confab::{
    domain::Kind,
    stores::{Build, Error},
};
use deadpool_redis::redis;

use crate::{
    support::{Fixture, apply, on_services},
    test_stores::TestStores,
};

/// Sends a command to Redis without the program.
async fn tell_redis(fixture: &Fixture, command: &mut redis::Cmd) {
    let client = redis::Client::open(fixture.services().redis_url.as_str()).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis");
    command
        .query_async::<()>(&mut connection)
        .await
        .expect("done");
}

async fn empty_redis(fixture: &Fixture) {
    let removed = fixture.services().remove_keys().await;
    removed.expect("removed");
}

#[apply(on_services!)]
async fn numbering_continues_after_redis_is_emptied(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    for n in 1..=3 {
        stores.create_message(chat, &format!("message {n}")).await;
    }
    stores.drain().await;
    empty_redis(fixture).await;
    assert_eq!(stores.create_message(chat, "the fourth").await.number, 4);
    let application = stores
        .backend
        .application(chat.app)
        .await
        .expect("a response");
    assert!(matches!(application.value, Some((_, 1))), "{application:?}");
    assert_eq!(
        stores
            .number(confab::domain::Write::create_chat(chat.app))
            .await,
        2
    );
    let revisions: Vec<_> = {
        stores.drain().await;
        let page = crate::test_stores::WHOLE_LIST;
        let messages = stores
            .backend
            .messages(chat, &page)
            .await
            .expect("a response");
        let messages = messages.value.items;
        messages.iter().map(|message| message.revision).collect()
    };
    assert!(revisions.is_sorted(), "{revisions:?}");
}

#[apply(on_services!)]
async fn batch_claimed_before_redis_was_emptied_is_fenced(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.drain().await;
    stores.create_message(chat, "in flight").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    empty_redis(fixture).await;
    let message = stores.create_message(chat, "after").await;
    assert_eq!(message.number, 1);
    let outcome = stores.store(&batch).await;
    assert!(matches!(outcome, Err(Error::Fenced(_))), "{outcome:?}");
    stores.drain().await;
    assert_eq!(stores.stored(message).await.expect("stored").text, "after");
}

#[apply(on_services!)]
async fn jobs_kept_by_redis_continue_in_a_new_epoch(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let message = stores.create_message(chat, "kept").await;
    // As after a restart: the data exist. Removing the scripts as well would affect other tests.
    let epoch = format!("{}epoch", fixture.services().redis_prefix());
    tell_redis(fixture, redis::cmd("DEL").arg(epoch)).await;
    assert_eq!(
        stores.pending(message).await.expect("readable").text,
        "kept"
    );
    assert_eq!(stores.create_message(chat, "the next").await.number, 2);
    stores.drain().await;
    assert_eq!(stores.stored(message).await.expect("stored").text, "kept");
}

#[apply(on_services!)]
async fn database_older_than_redis_is_detected(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.create_message(chat, "waiting").await;
    fixture.execute("UPDATE state SET epoch = 0").await;
    let batch = stores.claim(Kind::CreateMessage).await;
    let outcome = stores.store(&batch).await;
    assert!(matches!(outcome, Err(Error::Fenced(_))), "{outcome:?}");
    stores
        .backend
        .release(&batch.lease)
        .await
        .expect("released");
    stores.backend.recover().await.expect("recovered");
    // The index may be ahead of the rows. That is recorded together with the new epoch.
    let build = stores.backend.build().await;
    assert_eq!(build, Ok(Some(Build::Wanted)));
    stores.drain().await;
    assert_eq!(stores.create_message(chat, "the next").await.number, 2);
}
