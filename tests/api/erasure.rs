//! Erasure of deleted chats, and retention, while processes are killed.

use crate::{
    outages::all_jobs_are_done,
    support::{App, Fixture, Process, apply, eventually_eq, on_services},
};

/// Messages that a step of an erasure removes.
const STEP: u64 = 1000;

const DELETED: &str = r#"{"status":"success"}"#;

async fn rows(fixture: &Fixture) -> Option<i64> {
    let count = "SELECT COUNT(*) FROM messages";
    fixture.stored_number(count).await
}

/// Waits until a process is killed at a failpoint.
async fn wait_until_killed(mut process: Process) {
    eventually_eq("the process is killed", true, async || {
        process.ended().is_some()
    })
    .await;
}

#[apply(on_services!)]
async fn killed_erasure_of_a_chat_resumes(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.fill(&chat, "secret", 3 * STEP + 500).await;
    let app = App {
        id: chat.app.clone(),
    };
    let other = api.new_chat(&app).await;
    api.create_message(&other, "kept").await;
    eventually_eq("all is stored", Some(3501), async || rows(fixture).await).await;
    eventually_eq("all is found", vec![1], async || {
        api.search_numbers(&other, "kept").await
    })
    .await;
    drop(api);

    let crash = [("CONFAB_TEST_BREAK", "before_erasure_commit:2:crash")];
    let first = fixture.start_with(&crash).await;
    let deleted = first.send("DELETE", &chat, &[], "").await;
    deleted.expect(200, DELETED);
    first.get(&chat).await.expect_error(404, "Chat not found");
    wait_until_killed(first).await;
    let left = rows(fixture).await.expect("a number");
    assert_eq!(left, 2501, "one step is done, and one is not");

    let crash = [("CONFAB_TEST_BREAK", "between_erase_steps:1:crash")];
    let second = fixture.spawn(&crash).await;
    wait_until_killed(second).await;

    let last = fixture.start().await;
    last.get(&chat).await.expect_error(404, "Chat not found");
    eventually_eq("all is erased", Some(1), async || rows(fixture).await).await;
    let finished = "SELECT COUNT(*) FROM erasures WHERE finished_at IS NOT NULL AND erased = 3500";
    eventually_eq("the erasure ends", Some(1), async || {
        fixture.stored_number(finished).await
    })
    .await;
    let elasticsearch = fixture.services().elasticsearch();
    let documents = elasticsearch.documents(&chat).await.expect("a response");
    assert!(documents.iter().all(|(_, text)| text.is_empty()));
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    assert_eq!(last.text(&other, 1).await, "kept");
}

#[apply(on_services!)]
async fn killed_retention_continues(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.fill(&chat, "secret", STEP + 200).await;
    eventually_eq("all is stored", Some(1200), async || rows(fixture).await).await;
    // What is stored, and not acknowledged, would be stored again by the next process.
    all_jobs_are_done(fixture).await;
    drop(api);
    // All but the last ten messages are two days old.
    let days = "UPDATE messages SET created_at = created_at - INTERVAL 2 DAY WHERE number <= 1190";
    assert_eq!(fixture.execute(days).await, 1190);

    let retention = ("CONFAB_RETENTION__MESSAGES_DAYS", "1");
    for step in [
        "before_expired_rows_are_removed:1:crash",
        "before_expired_rows_are_removed:2:crash",
    ] {
        let crash = [retention, ("CONFAB_TEST_BREAK", step)];
        wait_until_killed(fixture.spawn(&crash).await).await;
    }
    let last = fixture.start_with(&[retention]).await;
    eventually_eq("old messages are removed", Some(10), async || {
        rows(fixture).await
    })
    .await;
    eventually_eq("the count follows", 10.into(), async || {
        last.messages_count(&chat).await
    })
    .await;
    last.get(chat.message(1190))
        .await
        .expect_error(404, "Message not found");
    assert_eq!(last.text(&chat, 1191).await, "secret");
    assert_eq!(last.create_message(&chat, "next").await, 1201);
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    fixture.confab(&["counts", "verify"]).await.expect_code(0);
}
