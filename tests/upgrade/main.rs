//! This version of the program on the stores of the one that `$CONFAB_TEST_FORMER` names, which has an older format. See
//! `make upgrade-test`.

#[path = "../support/mod.rs"]
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::json;
use support::{
    Chat, Client, Fixture, Process, apply, concurrently, eventually, eventually_eq,
    on_each_backend, on_embedded, on_services,
};

/// Number of messages that each of two writers creates.
const MESSAGES: usize = 200;

/// Settings of a process that accepts writes but stores nothing.
const IDLE: [(&str, &str); 1] = [("CONFAB_WORKERS__ENABLED", "false")];

/// Time after which the jobs of a killed process are recovered. The default is as long as a test waits.
const SHORT_LEASE: [(&str, &str); 1] = [("CONFAB_WORKERS__LEASE_MS", "2000")];

/// Launches the former program.
fn launch_former(fixture: &Fixture, settings: &[(&str, &str)]) -> Process {
    let former = std::env::var("CONFAB_TEST_FORMER").expect("make upgrade-test sets it");
    // It stops at a setting that it does not know.
    let lacks = std::env::var("CONFAB_TEST_FORMER_LACKS").expect("make upgrade-test sets it");
    let script = format!(
        r#"unset $(env | sed -n 's/^\(CONFAB_\({lacks}\)__[A-Z_]*\)=.*/\1/p'); shift; exec "$0" "$@""#
    );
    let wrapper = ["sh", "-c", &script, &former];
    fixture.launch_wrapped(&wrapper, &["serve"], settings)
}

/// Starts the former program and waits until it accepts writes.
async fn start_former(fixture: &Fixture, settings: &[(&str, &str)]) -> Process {
    let mut process = launch_former(fixture, settings);
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

/// Creates messages until one is refused; `accepted` counts the others, which must get the next numbers.
async fn create_until_refused(api: Client, chat: Chat, accepted: Arc<AtomicU64>) {
    let body = json!({"message": "hello"});
    loop {
        let response = api.post(format!("{chat}/message"), &body).await;
        if response.status >= 500 {
            return;
        }
        response.expect_status(201);
        let number = response.number_field("MessageID");
        assert_eq!(number, accepted.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

/// Checks that a process of the former version writes nothing, and shows no row.
async fn expect_locked_out(old: &Client, chat: &Chat) {
    let message = json!({"message": "hello from the past"});
    for response in [
        old.post(format!("{chat}/message"), &message).await,
        old.put(chat.message(1), &message).await,
        old.post(format!("/application/{}/chat", chat.app), &message)
            .await,
        old.post("/application", &json!({"username": "Shetewi"}))
            .await,
        old.get(chat.message(1)).await,
        old.get(format!("{chat}/messages")).await,
        old.get(chat).await,
        old.get(format!("/application/{}", chat.app)).await,
    ] {
        assert!(matches!(response.status, 500 | 503), "{response:?}");
    }
}

/// One writes while the other starts. What the former version accepted is stored, and the numbers go on.
#[apply(on_services!)]
async fn former_processes_are_locked_out_by_the_first_new_one(fixture: &Fixture) {
    let old = start_former(fixture, &[]).await;
    let chat = old.new_app_and_chat().await;
    let accepted = Arc::<AtomicU64>::default();
    let writing = tokio::spawn(create_until_refused(
        old.client(),
        chat.clone(),
        accepted.clone(),
    ));
    eventually("the former version writes", async || {
        let count = accepted.load(Ordering::Relaxed);
        if count >= MESSAGES as u64 {
            Ok(())
        } else {
            Err(count)
        }
    })
    .await;
    let new = fixture.start().await;
    expect_locked_out(&old, &chat).await;
    writing.await.expect("all responses were correct");
    let accepted = accepted.load(Ordering::Relaxed) as usize;
    println!("the former version accepted {accepted} messages until it was locked out");

    let body = json!({"message": "hello", "sender": "alice", "data": {"n": 1}});
    let created = new.post(format!("{chat}/message"), &body).await;
    assert_eq!(created.number_field("MessageID"), accepted as u64 + 1);
    wait_until_consistent(fixture, &new, &chat, accepted + 1).await;
    expect_locked_out(&old, &chat).await;
    // A process that is started again finds its way no more.
    old.kill();
    let mut old = launch_former(fixture, &[]);
    if old.wait_until_up().await {
        for _ in 0..20 {
            expect_locked_out(&old, &chat).await;
        }
    }
    new.create_message(&chat, "hello").await;
    wait_until_consistent(fixture, &new, &chat, accepted + 2).await;
    let last = new.get(chat.message(accepted as u64 + 1)).await;
    assert_eq!(last.text_field("Sender"), "alice");
    let stray = "SELECT COUNT(*) FROM messages WHERE text = 'hello from the past'";
    assert_eq!(fixture.stored_number(stray).await, Some(0));
}

#[apply(on_embedded!)]
async fn former_process_keeps_its_file_until_it_ends(fixture: &Fixture) {
    let old = start_former(fixture, &[]).await;
    let chat = old.new_app_and_chat().await;
    for command in ["serve", "migrate"] {
        let refused = fixture.confab(&[command]).await;
        refused.expect_code(1);
        assert!(refused.stderr.contains("stop it"), "{refused:?}");
    }
    create_messages(old.client(), chat.clone()).await;
    old.kill();
    let new = fixture.start().await;
    wait_until_consistent(fixture, &new, &chat, MESSAGES).await;
    new.kill();
    let mut old = launch_former(fixture, &[]);
    assert!(!old.wait_until_up().await, "{}", old.output());
    assert!(old.output().contains("newer"), "{}", old.output());
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
