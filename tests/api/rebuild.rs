//! A rebuild of the search index that is killed half way goes on where it was.

use serde_json::Value;

use crate::support::{Chat, Client, Site, on_each_backing, on_services, settles, together};

/// As many as a page of a rebuild holds.
const PAGE: u64 = 1000;

/// The clean job looks once, at the start, and leaves the rest to the command.
const NO_CLEAN_JOB: (&str, &str) = ("CONFAB_WORKERS__RECONCILE_PAUSE_MS", "3600000");

/// Fills a chat with `count` messages.
async fn fill(api: &Client, chat: &Chat, count: u64) {
    const CLIENTS: u64 = 20;
    together(CLIENTS as usize, |_| {
        let (api, chat) = (api.clone(), chat.clone());
        async move {
            for _ in 0..count / CLIENTS {
                api.say(&chat, "hello").await;
            }
        }
    })
    .await;
}

async fn rebuilt(site: &Site) -> Value {
    let finished = site.confab(&["search", "rebuild", "--json"]).await;
    finished.expect_code(0);
    assert_eq!(finished.stderr, "", "only JSON is asked for");
    serde_json::from_str(&finished.stdout).expect("one JSON object")
}

async fn a_killed_rebuild_goes_on_where_it_was(site: &Site) {
    let api = site.start_with(&[NO_CLEAN_JOB]).await;
    let chat = api.new_app_and_chat().await;
    fill(&api, &chat, 2 * PAGE + 500).await;
    let stored = "SELECT COUNT(*) FROM messages";
    settles("all is stored", Some(2500), async || {
        site.stored_number(stored).await
    })
    .await;

    site.no_rebuild_is_unfinished().await;
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:2:crash")];
    let killed = site.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    // On both sides of where it was killed.
    for number in [1, PAGE, 2 * PAGE + 100] {
        api.change(&chat, number, "changed meanwhile").await;
    }
    let newest = api.say(&chat, "written meanwhile").await;
    settles("all is stored", Some(2501), async || {
        site.stored_number(stored).await
    })
    .await;

    let report = rebuilt(site).await;
    assert_eq!(report["resumed_at"], 2 * PAGE, "{report}");
    assert_eq!(report["messages"], 2 * PAGE + 501, "{report}");
    site.confab(&["search", "verify"]).await.expect_code(0);
    let found = vec![1, PAGE, 2 * PAGE + 100, newest];
    settles("what was written meanwhile", found, async || {
        api.found(&chat, "meanwhile").await
    })
    .await;
    // There is nothing left to go on with.
    assert_eq!(rebuilt(site).await["resumed_at"], 0);
}

async fn an_unfinished_index_of_another_making_is_not_gone_on_with(site: &Site) {
    let api = site.start_with(&[NO_CLEAN_JOB]).await;
    let chat = api.new_app_and_chat().await;
    fill(&api, &chat, 20).await;
    settles("all is found", 20, async || {
        api.found(&chat, "hello").await.len()
    })
    .await;
    site.no_rebuild_is_unfinished().await;
    drop(api);
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:1:crash")];
    let killed = site.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    // As if a program had begun it whose index had one field more.
    let elasticsearch = site.services().elasticsearch();
    for index in elasticsearch.indices().await.expect("an answer") {
        elasticsearch.add_field(&index).await;
    }
    assert_eq!(rebuilt(site).await["resumed_at"], 0);
    site.confab(&["search", "verify"]).await.expect_code(0);
    let indices = elasticsearch.indices().await.expect("an answer");
    assert_eq!(indices.len(), 1, "{indices:?}");
}

async fn the_clean_job_finishes_a_killed_rebuild(site: &Site) {
    let api = site.start_with(&[NO_CLEAN_JOB]).await;
    let chat = api.new_app_and_chat().await;
    fill(&api, &chat, PAGE + 200).await;
    settles("all is stored", Some(1200), async || {
        site.stored_number("SELECT COUNT(*) FROM messages").await
    })
    .await;
    site.no_rebuild_is_unfinished().await;
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:1:crash")];
    let killed = site.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    drop(api);

    let _api = site.start().await;
    settles("nothing is unfinished", Some(0), async || {
        site.stored_number("SELECT COUNT(*) FROM index_build").await
    })
    .await;
    site.confab(&["search", "verify"]).await.expect_code(0);
}

on_services!(an_unfinished_index_of_another_making_is_not_gone_on_with);

on_each_backing!(
    a_killed_rebuild_goes_on_where_it_was,
    the_clean_job_finishes_a_killed_rebuild,
);
