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

/// The format of this program.
const FORMAT: u64 = 3;

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
    fixture.execute("UPDATE state SET queue_epoch = 0").await;
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

/// Reads from Redis without the program.
async fn ask_redis<T: redis::FromRedisValue>(
    fixture: &Fixture,
    command: &redis::Cmd,
) -> redis::RedisResult<T> {
    let mut connection = fixture.services().redis().await.expect("a connection");
    command.query_async(&mut connection).await
}

fn epoch_key(fixture: &Fixture) -> String {
    format!("{}epoch", fixture.services().redis_prefix())
}

async fn set_redis_format(fixture: &Fixture, format: u64) {
    let mut command = redis::cmd("HSET");
    command.arg(epoch_key(fixture)).arg("format").arg(format);
    tell_redis(fixture, &mut command).await;
}

async fn set_mysql_format(fixture: &Fixture, format: u64) {
    let update = format!("UPDATE state SET format = {format}");
    assert_eq!(fixture.execute(&update).await, 1);
}

async fn epoch(stores: &TestStores) -> u64 {
    let epoch = stores.backend.epoch().await.expect("a response");
    epoch.expect("services have epochs")
}

/// Replaces the epoch in Redis by what programs before format 2 keep.
async fn put_epoch_of_format_1(fixture: &Fixture) {
    let key = epoch_key(fixture);
    let mut read = redis::cmd("HMGET");
    read.arg(&key).arg(&["epoch", "server"]);
    let (epoch, server): (u64, String) = ask_redis(fixture, &read).await.expect("an epoch");
    tell_redis(fixture, redis::cmd("DEL").arg(&key)).await;
    let master = format!("{}master", fixture.services().redis_prefix());
    let mut write = redis::cmd("MSET");
    write.arg(&key).arg(epoch);
    write.arg(master).arg(format!("{epoch} {server}"));
    tell_redis(fixture, &mut write).await;
}

#[apply(on_services!)]
async fn queue_of_programs_before_format_2_is_taken_over(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    let first = stores.create_message(chat, "claimed").await;
    let claimed = stores.claim(Kind::CreateMessage).await;
    let second = stores.create_message(chat, "dead").await;
    let dead = stores.claim(Kind::CreateMessage).await;
    let fail = stores
        .backend
        .fail(&dead.lease, &dead.jobs[0], "why not", None);
    fail.await.expect("a dead letter");
    let third = stores.create_message(chat, "waiting").await;
    let before = epoch(&stores).await;
    put_epoch_of_format_1(fixture).await;

    let fourth = stores.create_message(chat, "the next").await;
    assert_eq!(fourth.number, 4);
    assert_eq!(epoch(&stores).await, before + 1);
    let texts = [
        (first, "claimed"),
        (second, "dead"),
        (third, "waiting"),
        (fourth, "the next"),
    ];
    for (key, text) in texts {
        assert_eq!(stores.pending(key).await.expect("readable").text, text);
    }
    // Scripts of such a program begin with this command, and a batch that it claimed is fenced.
    let get = ask_redis::<String>(fixture, redis::cmd("GET").arg(epoch_key(fixture))).await;
    let refused = get.expect_err("another type");
    assert_eq!(refused.code(), Some("WRONGTYPE"), "{refused}");
    let outcome = stores.store(&claimed).await;
    assert!(matches!(outcome, Err(Error::Fenced(_))), "{outcome:?}");
    let released = stores.backend.release(&claimed.lease).await;
    released.expect("the lease goes on");
    let retried = stores.backend.retry(dead.jobs[0].revision).await;
    assert_eq!(retried, Ok(true));
    stores.drain().await;
    for (key, text) in texts {
        assert_eq!(stores.stored(key).await.expect("stored").text, text);
    }
}

#[apply(on_services!)]
async fn newer_format_stops_a_running_program_at_its_next_call(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let chat = stores.new_chat().await;
    stores.drain().await;
    let message = stores.create_message(chat, "before").await;
    let batch = stores.claim(Kind::CreateMessage).await;

    set_mysql_format(fixture, 1000).await;
    let outcome = stores.store(&batch).await;
    assert!(matches!(outcome, Err(Error::Fenced(_))), "{outcome:?}");
    // What the watch of Redis and the recovery of leases ask every second.
    let found = stores.backend.epoch().await;
    let newer = |store| Error::Newer {
        store,
        found: 1000,
        known: FORMAT,
    };
    assert_eq!(found, Err(newer("MySQL")));
    assert_eq!(stores.backend.migrate().await, Err(newer("MySQL")));
    assert_eq!(stores.backend.chat(chat).await, Err(newer("MySQL")));

    set_redis_format(fixture, 1000).await;
    let write = confab::domain::Write::create_message(chat, "after");
    let outcome = stores.backend.enqueue(&write, None).await;
    assert_eq!(outcome, Err(newer("Redis")));
    assert_eq!(stores.backend.message(message).await, Err(newer("Redis")));
    // Another process of this version finds the same.
    let other = stores.open_again();
    assert_eq!(other.enqueue(&write, None).await, Err(newer("Redis")));

    // Its format again, as after a restore of backups from before the upgrade.
    set_redis_format(fixture, FORMAT).await;
    set_mysql_format(fixture, FORMAT).await;
    stores.backend.epoch().await.expect("a response");
    stores
        .backend
        .release(&batch.lease)
        .await
        .expect("released");
    stores.drain().await;
    let stored = stores.stored(message).await.expect("stored");
    assert_eq!(stored.text, "before");
}
