//! A rebuild of the search index that was killed resumes.

use serde_json::{Value, json};

use crate::support::{Chat, Fixture, Process, apply, eventually_eq, on_each_backend, on_services};

/// The number of messages in a page of a rebuild.
const PAGE: u64 = 1000;

/// Runs the reconciler once, at startup.
const NO_RECONCILER: (&str, &str) = ("CONFAB_WORKERS__RECONCILE_PAUSE_MS", "3600000");

async fn rebuilt(fixture: &Fixture) -> Value {
    let finished = fixture.confab(&["search", "rebuild", "--json"]).await;
    finished.expect_code(0);
    assert_eq!(finished.stderr, "", "only JSON is asked for");
    serde_json::from_str(&finished.stdout).expect("one JSON object")
}

#[apply(on_each_backend!)]
async fn killed_rebuild_resumes_where_it_stopped(fixture: &Fixture) {
    let api = fixture.start_with(&[NO_RECONCILER]).await;
    let chat = api.new_app_and_chat().await;
    api.fill(&chat, "hello", 2 * PAGE + 500).await;
    let stored = "SELECT COUNT(*) FROM messages";
    eventually_eq("all is stored", Some(2500), async || {
        fixture.stored_number(stored).await
    })
    .await;

    fixture.no_rebuild_is_unfinished().await;
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:2:crash")];
    let killed = fixture.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    // Updates messages on both sides of the position where it was killed.
    for number in [1, PAGE, 2 * PAGE + 100] {
        api.update_message(&chat, number, "changed meanwhile").await;
    }
    let newest = api.create_message(&chat, "written meanwhile").await;
    eventually_eq("all is stored", Some(2501), async || {
        fixture.stored_number(stored).await
    })
    .await;

    let report = rebuilt(fixture).await;
    assert_eq!(report["resumed_at"], 2 * PAGE, "{report}");
    assert_eq!(report["messages"], 2 * PAGE + 501, "{report}");
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    let found = vec![1, PAGE, 2 * PAGE + 100, newest];
    eventually_eq("what was written meanwhile", found, async || {
        api.search_numbers(&chat, "meanwhile").await
    })
    .await;
    // There is nothing left to resume.
    assert_eq!(rebuilt(fixture).await["resumed_at"], 0);
}

#[apply(on_services!)]
async fn unfinished_index_with_another_definition_is_not_resumed(fixture: &Fixture) {
    let api = fixture.start_with(&[NO_RECONCILER]).await;
    let chat = api.new_app_and_chat().await;
    api.fill(&chat, "hello", 20).await;
    eventually_eq("all is found", 20, async || {
        api.search_numbers(&chat, "hello").await.len()
    })
    .await;
    fixture.no_rebuild_is_unfinished().await;
    drop(api);
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:1:crash")];
    let killed = fixture.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    // As if a version whose index had one more field had begun it.
    let elasticsearch = fixture.services().elasticsearch();
    for index in elasticsearch.indices().await.expect("a response") {
        elasticsearch.add_field(&index).await;
    }
    assert_eq!(rebuilt(fixture).await["resumed_at"], 0);
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    let indices = elasticsearch.indices().await.expect("a response");
    assert_eq!(indices.len(), 1, "{indices:?}");
}

#[apply(on_each_backend!)]
async fn reconciler_completes_a_killed_rebuild(fixture: &Fixture) {
    let api = fixture.start_with(&[NO_RECONCILER]).await;
    let chat = api.new_app_and_chat().await;
    api.fill(&chat, "hello", PAGE + 200).await;
    eventually_eq("all is stored", Some(1200), async || {
        fixture.stored_number("SELECT COUNT(*) FROM messages").await
    })
    .await;
    fixture.no_rebuild_is_unfinished().await;
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:1:crash")];
    let killed = fixture.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    drop(api);

    let _api = fixture.start().await;
    eventually_eq("nothing is unfinished", Some(0), async || {
        fixture
            .stored_number("SELECT COUNT(*) FROM index_build")
            .await
    })
    .await;
    fixture.confab(&["search", "verify"]).await.expect_code(0);
}

/// Starts a process without the reconciler, on an index that holds one message.
async fn start_with_an_indexed_message(fixture: &Fixture) -> (Process, Chat) {
    let api = fixture.start_with(&[NO_RECONCILER]).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("it is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    fixture.no_rebuild_is_unfinished().await;
    (api, chat)
}

/// Other programs and installations may name an index as this one does.
#[apply(on_services!)]
async fn rebuild_deletes_only_indices_of_this_installation(fixture: &Fixture) {
    let (api, chat) = start_with_an_indexed_message(fixture).await;
    let elasticsearch = fixture.services().elasticsearch();
    let [old] = &elasticsearch.indices().await.expect("a response")[..] else {
        panic!("there is one index");
    };
    // Of another program, of another installation, and of this one, left behind by a rebuild.
    let other =
        json!({"_meta": {"version": 1, "installation": "0123456789abcdef0123456789abcdef"}});
    let ours = elasticsearch.mapping(old).await;
    assert!(ours["_meta"]["installation"].is_string(), "{ours}");
    let foreign = [
        elasticsearch.create_index("-123", &json!({})).await,
        elasticsearch.create_index("-1764000000000", &other).await,
    ];
    let left_behind = elasticsearch
        .create_index("-456", &json!({"_meta": ours["_meta"]}))
        .await;

    rebuilt(fixture).await;
    let indices = elasticsearch.indices().await.expect("a response");
    for index in &foreign {
        assert!(indices.contains(index), "{index} is deleted: {indices:?}");
    }
    assert!(!indices.contains(old), "{indices:?}");
    assert!(!indices.contains(&left_behind), "{indices:?}");
    assert_eq!(indices.len(), 3, "{indices:?}");
    assert_eq!(api.search_numbers(&chat, "hello").await, [1]);
}

/// An installation that was made before indices carried its mark takes over its present ones, once.
#[apply(on_services!)]
async fn unmarked_indices_of_an_older_version_are_taken_over_once(fixture: &Fixture) {
    let (api, chat) = start_with_an_indexed_message(fixture).await;
    drop(api);
    let elasticsearch = fixture.services().elasticsearch();
    let [old] = &elasticsearch.indices().await.expect("a response")[..] else {
        panic!("there is one index");
    };
    // The state that the older version left: no mark, and a database that knows nothing of them.
    elasticsearch.set_meta(old, &json!({"version": 1})).await;
    fixture.execute("DELETE FROM installation").await;
    let foreign = elasticsearch.create_index("-123", &json!({})).await;

    rebuilt(fixture).await;
    let indices = elasticsearch.indices().await.expect("a response");
    assert!(!indices.contains(old), "{indices:?}");
    assert!(indices.contains(&foreign), "{indices:?}");

    // From now on an index without a mark is foreign.
    let [new] = &indices
        .iter()
        .filter(|name| **name != foreign)
        .collect::<Vec<_>>()[..]
    else {
        panic!("there is one other index: {indices:?}");
    };
    elasticsearch.set_meta(new, &json!({"version": 1})).await;
    rebuilt(fixture).await;
    let indices = elasticsearch.indices().await.expect("a response");
    assert!(indices.contains(new), "{indices:?}");
    let api = fixture.start_with(&[NO_RECONCILER]).await;
    assert_eq!(api.search_numbers(&chat, "hello").await, [1]);
}
