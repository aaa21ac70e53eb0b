//! Two versions of the program on the same stores: this one, and the one that `$CONFAB_TEST_FORMER` names. See
//! `make upgrade-test`.

#[path = "../support/mod.rs"]
mod support;

use support::{Chat, Client, Process, Site, on_each_backing, on_services, settles, together};

/// How many messages each of two writers says.
const MESSAGES: usize = 200;

/// A process that accepts and leaves the storing to others.
const IDLE: [(&str, &str); 1] = [("CONFAB_WORKERS__ENABLED", "false")];

/// What a process that is killed held is taken over after this time, which by default is as long as a test waits.
const SHORT_LEASE: [(&str, &str); 1] = [("CONFAB_WORKERS__LEASE_MS", "2000")];

/// Starts the former program.
async fn start_former(site: &Site, settings: &[(&str, &str)]) -> Process {
    let former = std::env::var("CONFAB_TEST_FORMER").expect("make upgrade-test sets it");
    // It stops at a setting that it does not know.
    let script =
        r#"unset $(env | sed -n 's/^\(CONFAB_ADMIN__[A-Z_]*\)=.*/\1/p'); shift; exec "$0" "$@""#;
    let through = ["sh", "-c", script, &former];
    let mut process = site.launch_through(&through, &["serve"], settings);
    assert!(process.comes_up().await, "{}", process.output());
    process.ready().await;
    process
}

async fn say(api: Client, chat: Chat) {
    for _ in 0..MESSAGES {
        api.say(&chat, "hello").await;
    }
}

/// Waits until all that is said is stored, counted and found, and nothing disagrees.
async fn all_is_well(site: &Site, api: &Client, chat: &Chat, count: usize) {
    let stored = "SELECT COUNT(*) FROM messages";
    let count = count as u64;
    settles("it is stored", Some(count as i64), async || {
        site.stored_number(stored).await
    })
    .await;
    settles("it is counted", count.into(), async || {
        api.messages_count(chat).await
    })
    .await;
    settles("the newest is found", Some(count), async || {
        api.found(chat, "hello").await.last().copied()
    })
    .await;
    site.confab(&["counts", "verify"]).await.expect_code(0);
    site.confab(&["search", "verify"]).await.expect_code(0);
    let dead = site.confab(&["jobs", "list", "--json"]).await;
    assert!(dead.stdout.contains(r#""jobs":[]"#), "{dead:#?}");
}

/// Also shows that the schema is brought up to date while the former program writes.
async fn both_write_and_read_side_by_side(site: &Site) {
    let old = start_former(site, &[]).await;
    let chat = old.new_app_and_chat().await;
    let writing = tokio::spawn(say(old.client(), chat.clone()));
    let new = site.start().await;
    let others = say(new.client(), chat.clone());
    let (writing, ()) = tokio::join!(writing, others);
    writing.expect("what was answered was right");
    // Each sees at once what the other has accepted.
    let number = old.say(&chat, "hello from the old").await;
    assert_eq!(new.text(&chat, number).await, "hello from the old");
    new.change(&chat, number, "hello from the new").await;
    assert_eq!(old.text(&chat, number).await, "hello from the new");
    for api in [&old, &new] {
        all_is_well(site, api, &chat, 2 * MESSAGES + 1).await;
    }
    // The old one is ended, and the new one goes on.
    old.signal("TERM");
    new.say(&chat, "hello").await;
    all_is_well(site, &new, &chat, 2 * MESSAGES + 2).await;
}

async fn each_stores_what_the_other_accepted(site: &Site) {
    let old = start_former(site, &IDLE).await;
    let chat = old.new_app_and_chat().await;
    say(old.client(), chat.clone()).await;
    let new = site.start().await;
    all_is_well(site, &new, &chat, MESSAGES).await;
    new.kill();
    old.kill();
    let new = site.start_with(&IDLE).await;
    say(new.client(), chat.clone()).await;
    let old = start_former(site, &[]).await;
    all_is_well(site, &old, &chat, 2 * MESSAGES).await;
}

/// On a file one after the other, with jobs that the former left.
async fn what_the_former_left_is_taken_over(site: &Site) {
    let old = start_former(site, &SHORT_LEASE).await;
    let chat = old.new_app_and_chat().await;
    together(4, |_| {
        let (api, chat) = (old.client(), chat.clone());
        async move {
            for _ in 0..MESSAGES / 4 {
                api.say(&chat, "hello").await;
            }
        }
    })
    .await;
    old.kill();
    let old = start_former(site, &IDLE).await;
    say(old.client(), chat.clone()).await;
    old.kill();
    let new = site.start().await;
    all_is_well(site, &new, &chat, 2 * MESSAGES).await;
    let next = new.say(&chat, "hello").await;
    assert_eq!(next, 2 * MESSAGES as u64 + 1);
}

on_services!(
    both_write_and_read_side_by_side,
    each_stores_what_the_other_accepted,
);

on_each_backing!(what_the_former_left_is_taken_over);
