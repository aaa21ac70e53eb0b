//! Two versions of the program on the same stores: this one, and the one that `$CONFAB_TEST_FORMER` names. See
//! `make upgrade-test`.

#[path = "../support/mod.rs"]
mod support;

use support::{
    Chat, Client, Fixture, Process, apply, concurrently, eventually_eq, on_each_backend,
    on_services,
};

/// Number of messages that each of two writers creates.
const MESSAGES: usize = 200;

/// Settings of a process that accepts writes but stores nothing.
const IDLE: [(&str, &str); 1] = [("CONFAB_WORKERS__ENABLED", "false")];

/// Time after which the jobs of a killed process are recovered. The default is as long as a test waits.
const SHORT_LEASE: [(&str, &str); 1] = [("CONFAB_WORKERS__LEASE_MS", "2000")];

/// Starts the former program.
async fn start_former(fixture: &Fixture, settings: &[(&str, &str)]) -> Process {
    let former = std::env::var("CONFAB_TEST_FORMER").expect("make upgrade-test sets it");
    // It stops at a setting that it does not know.
    let script =
        r#"unset $(env | sed -n 's/^\(CONFAB_ADMIN__[A-Z_]*\)=.*/\1/p'); shift; exec "$0" "$@""#;
    let wrapper = ["sh", "-c", script, &former];
    let mut process = fixture.launch_wrapped(&wrapper, &["serve"], settings);
    assert!(process.wait_until_up().await, "{}", process.output());
    process.wait_until_ready().await;
    process
}

async fn create_messages(api: Client, chat: Chat) {
    for _ in 0..MESSAGES {
        api.create_message(&chat, "hello").await;
    }
}

/// Waits until all that is said is stored, counted and found, and nothing disagrees.
async fn wait_until_consistent(fixture: &Fixture, api: &Client, chat: &Chat, count: usize) {
    let stored = "SELECT COUNT(*) FROM messages";
    let count = count as u64;
    eventually_eq("it is stored", Some(count as i64), async || {
        fixture.stored_number(stored).await
    })
    .await;
    eventually_eq("it is counted", count.into(), async || {
        api.messages_count(chat).await
    })
    .await;
    eventually_eq("the newest is found", Some(count), async || {
        api.search_numbers(chat, "hello").await.last().copied()
    })
    .await;
    fixture.confab(&["counts", "verify"]).await.expect_code(0);
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    let dead = fixture.confab(&["jobs", "list", "--json"]).await;
    assert!(dead.stdout.contains(r#""jobs":[]"#), "{dead:#?}");
}

/// Also shows that the schema is brought up to date while the former program writes.
#[apply(on_services!)]
async fn both_versions_write_and_read_concurrently(fixture: &Fixture) {
    let old = start_former(fixture, &[]).await;
    let chat = old.new_app_and_chat().await;
    let writing = tokio::spawn(create_messages(old.client(), chat.clone()));
    let new = fixture.start().await;
    let others = create_messages(new.client(), chat.clone());
    let (writing, ()) = tokio::join!(writing, others);
    writing.expect("all responses were correct");
    // Each sees at once what the other has accepted.
    let number = old.create_message(&chat, "hello from the old").await;
    assert_eq!(new.text(&chat, number).await, "hello from the old");
    new.update_message(&chat, number, "hello from the new")
        .await;
    assert_eq!(old.text(&chat, number).await, "hello from the new");
    for api in [&old, &new] {
        wait_until_consistent(fixture, api, &chat, 2 * MESSAGES + 1).await;
    }
    // The old one is ended, and the new one goes on.
    old.signal("TERM");
    new.create_message(&chat, "hello").await;
    wait_until_consistent(fixture, &new, &chat, 2 * MESSAGES + 2).await;
}

#[apply(on_services!)]
async fn versions_store_what_the_other_accepted(fixture: &Fixture) {
    let old = start_former(fixture, &IDLE).await;
    let chat = old.new_app_and_chat().await;
    create_messages(old.client(), chat.clone()).await;
    let new = fixture.start().await;
    wait_until_consistent(fixture, &new, &chat, MESSAGES).await;
    new.kill();
    old.kill();
    let new = fixture.start_with(&IDLE).await;
    create_messages(new.client(), chat.clone()).await;
    let old = start_former(fixture, &[]).await;
    wait_until_consistent(fixture, &old, &chat, 2 * MESSAGES).await;
}

/// On a file one after the other, with jobs that the former left.
#[apply(on_each_backend!)]
async fn stores_of_the_former_version_are_taken_over(fixture: &Fixture) {
    let old = start_former(fixture, &SHORT_LEASE).await;
    let chat = old.new_app_and_chat().await;
    concurrently(4, |_| {
        let (api, chat) = (old.client(), chat.clone());
        async move {
            for _ in 0..MESSAGES / 4 {
                api.create_message(&chat, "hello").await;
            }
        }
    })
    .await;
    old.kill();
    let old = start_former(fixture, &IDLE).await;
    create_messages(old.client(), chat.clone()).await;
    old.kill();
    let new = fixture.start().await;
    wait_until_consistent(fixture, &new, &chat, 2 * MESSAGES).await;
    let next = new.create_message(&chat, "hello").await;
    assert_eq!(next, 2 * MESSAGES as u64 + 1);
}
