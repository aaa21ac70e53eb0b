//! Inconsistencies between the stores are found and repaired, by command and by the reconciler.

use serde_json::{Value, json};

use crate::support::{
    Chat, Client, CommandOutput, Fixture, apply, eventually, eventually_eq, on_each_backend,
    on_services,
};

/// Waits until the messages of a chat, from 1 to `count`, are counted and found by "hello".
async fn at_rest(api: &Client, chat: &Chat, count: u64) {
    eventually_eq("the count", json!(count), async || {
        api.messages_count(chat).await
    })
    .await;
    expect_hits(api, chat, "hello", &(1..=count).collect::<Vec<_>>()).await;
}

async fn expect_hits(api: &Client, chat: &Chat, query: &str, numbers: &[u64]) {
    let what = format!("search for {query:?}");
    eventually_eq(&what, numbers.to_vec(), async || {
        api.search_numbers(chat, query).await
    })
    .await;
}

/// Fails unless the command ended with this code and its output contains each of these.
#[track_caller]
fn expect_output(finished: &CommandOutput, code: i32, words: &[&str]) {
    finished.expect_code(code);
    for word in words {
        assert!(
            finished.stdout.to_lowercase().contains(word),
            "no {word:?} in it: {finished:#?}"
        );
    }
}

/// A chat without a running process: message 1 has an outdated document, message 2 is deleted but its document exists,
/// and message 3 has no document.
async fn damaged(fixture: &Fixture) -> Chat {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for text in ["hello outdated", "hello"] {
        api.create_message(&chat, text).await;
    }
    at_rest(&api, &chat, 2).await;
    // Otherwise the reconciler might repair first.
    drop(api);
    let of_chat = format!("app = '{}' AND chat = {}", chat.app, chat.number);
    for sql in [
        format!(
            "INSERT INTO messages (app, chat, number, text, revision, created_at, inserted_by) \
             SELECT app, chat, 3, 'hello', revision, created_at, inserted_by FROM messages WHERE {of_chat} AND number = 2"
        ),
        format!(
            "UPDATE messages SET text = 'hello', revision = revision + 1 WHERE {of_chat} AND number = 1"
        ),
        format!("DELETE FROM messages WHERE {of_chat} AND number = 2"),
    ] {
        assert_eq!(fixture.execute(&sql).await, 1, "{sql}");
    }
    chat
}

#[apply(on_services!)]
async fn search_verify_finds_and_repairs_missing_stale_and_dangling_documents(fixture: &Fixture) {
    let chat = damaged(fixture).await;
    let keys = [1, 2, 3].map(|number| format!("{}:1:{number}", chat.app));
    let [stale, dangling, missing] = keys.each_ref().map(String::as_str);
    let words = [missing, "missing", stale, "stale", dangling, "dangling"];
    let found_wrong = fixture.confab(&["search", "verify"]).await;
    expect_output(&found_wrong, 1, &words);
    // Verification without repair changes nothing.
    let found_again = fixture.confab(&["search", "verify", "--json"]).await;
    expect_output(&found_again, 1, &words);
    let report: Value = serde_json::from_str(&found_again.stdout).expect("one JSON object");
    assert!(report.is_object(), "{report:#}");

    let repaired = fixture.confab(&["search", "verify", "--fix"]).await;
    expect_output(&repaired, 0, &words);
    fixture.confab(&["search", "verify"]).await.expect_code(0);

    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    expect_hits(&api, &chat, "hello", &[1, 3]).await;
    expect_hits(&api, &chat, "outdated", &[]).await;
}

#[apply(on_services!)]
async fn search_verify_reports_only_what_it_repaired(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    at_rest(&api, &chat, 1).await;
    drop(api);
    // For a minute, Elasticsearch rejects a document with the version of a deletion.
    let document = format!("{}:1:1", chat.app);
    fixture.services().elasticsearch().delete(&document).await;
    fixture.confab(&["search", "verify"]).await.expect_code(1);
    let claimed = fixture.confab(&["search", "verify", "--fix"]).await;
    let found = fixture.confab(&["search", "verify"]).await;
    assert_eq!(claimed.code, found.code, "{claimed:#?} {found:#?}");
}

#[apply(on_services!)]
async fn reconciler_repairs_the_index(fixture: &Fixture) {
    let chat = damaged(fixture).await;
    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    expect_hits(&api, &chat, "outdated", &[1]).await;
    expect_hits(&api, &chat, "hello", &[1, 2]).await;
    drop(api);

    let api = fixture.start().await;
    expect_hits(&api, &chat, "hello", &[1, 3]).await;
    expect_hits(&api, &chat, "outdated", &[]).await;
}

#[apply(on_services!)]
async fn deleted_index_is_recreated(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=3 {
        api.create_message(&chat, "hello").await;
    }
    at_rest(&api, &chat, 3).await;
    let elasticsearch = fixture.services().elasticsearch();
    elasticsearch.remove_indices().await.expect("it is deleted");

    // Writes do not wait for it.
    for number in 4..=6 {
        assert_eq!(api.create_message(&chat, "hello").await, number);
    }
    at_rest(&api, &chat, 6).await;
    // There is one index, and nothing to repair.
    let indices = elasticsearch.indices().await.expect("a response");
    assert_eq!(indices.len(), 1, "{indices:?}");
    fixture.confab(&["search", "verify"]).await.expect_code(0);
}

#[apply(on_each_backend!)]
async fn rebuild_includes_messages_written_during_it(fixture: &Fixture) {
    let processes = fixture.start_all().await;
    let api = &processes[0];
    let chat = api.new_app_and_chat().await;
    for _ in 0..50 {
        api.create_message(&chat, "hello").await;
    }
    at_rest(api, &chat, 50).await;
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let api = processes[writer % processes.len()].client();
            let chat = chat.clone();
            let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
            let writing = tokio::spawn(async move {
                let mut written = Vec::new();
                while stopped.try_recv().is_err() {
                    let number = api.create_message(&chat, "hello").await;
                    api.update_message(&chat, number, "hello again").await;
                    written.push(number);
                }
                written
            });
            (stop, writing)
        })
        .collect();
    fixture.no_rebuild_is_unfinished().await;
    for _ in 0..2 {
        fixture.confab(&["search", "rebuild"]).await.expect_code(0);
    }
    let mut changed = Vec::new();
    for (stop, writing) in writers {
        stop.send(()).expect("it is still writing");
        changed.extend(writing.await.expect("the writers succeed"));
    }
    changed.sort_unstable();
    assert!(!changed.is_empty(), "nothing was written meanwhile");

    for (query, numbers) in [
        ("hello", (1..=50 + changed.len() as u64).collect()),
        ("again", changed),
    ] {
        eventually("everything is found", async || {
            let pages = api
                .follow(format!("{chat}/search/{query}?limit=100&after=0"), "next")
                .await;
            let found: Vec<_> = pages
                .iter()
                .flat_map(|page| page.numbers("messageID"))
                .collect();
            if found == numbers {
                Ok(())
            } else {
                Err((found.len(), numbers.len()))
            }
        })
        .await;
    }
    fixture.confab(&["search", "verify"]).await.expect_code(0);
}

#[apply(on_each_backend!)]
async fn counts_verify_finds_and_repairs_wrong_counts(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let chats = [
        api.new_chat(&app).await,
        api.new_chat(&app).await,
        api.new_chat(&app).await,
    ];
    for chat in &chats[..2] {
        for _ in 1..=3 {
            api.create_message(chat, "hello").await;
        }
        at_rest(&api, chat, 3).await;
    }
    let id = &app.id;
    let chats_count = format!("SELECT chats_count FROM applications WHERE id = '{id}'");
    eventually_eq("the stored count", Some(3), async || {
        fixture.stored_number(&chats_count).await
    })
    .await;
    // Otherwise the reconciler might repair before the command.
    drop(api);
    for damage in [
        format!("UPDATE applications SET chats_count = 7 WHERE id = '{id}'"),
        format!("UPDATE chats SET messages_count = 2 WHERE app = '{id}' AND number = 1"),
        format!("UPDATE chats SET messages_count = 1 WHERE app = '{id}' AND number = 3"),
    ] {
        assert_eq!(fixture.execute(&damage).await, 1, "{damage}");
    }

    let (one, three) = (format!("{id}:1"), format!("{id}:3"));
    let words = [id.as_str(), &one, &three];
    let found_wrong = fixture.confab(&["counts", "verify"]).await;
    expect_output(&found_wrong, 1, &words);
    let found_again = fixture.confab(&["counts", "verify", "--json"]).await;
    expect_output(&found_again, 1, &words);
    let report: Value = serde_json::from_str(&found_again.stdout).expect("one JSON object");
    assert!(report.is_object(), "{report:#}");

    let repaired = fixture.confab(&["counts", "verify", "--fix"]).await;
    expect_output(&repaired, 0, &words);
    fixture.confab(&["counts", "verify"]).await.expect_code(0);
    assert_eq!(fixture.stored_number(&chats_count).await, Some(3));

    let api = fixture.start().await;
    assert_eq!(api.messages_count(&chats[0]).await, 3);
    assert_eq!(api.messages_count(&chats[1]).await, 3);
    // A chat without messages has no count, or the count 0.
    let none = api.messages_count(&chats[2]).await;
    assert!(none == 0 || none.is_null(), "{none}");
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "3");
}

#[apply(on_each_backend!)]
async fn reconciler_repairs_counts(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=3 {
        api.create_message(&chat, "hello").await;
    }
    at_rest(&api, &chat, 3).await;
    let damage = format!(
        "UPDATE chats SET messages_count = 30 WHERE app = '{}'",
        chat.app
    );
    assert_eq!(fixture.execute(&damage).await, 1);
    eventually_eq("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
}
