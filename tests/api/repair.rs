//! What has gone wrong between the stores is found and mended: by command, and by the clean job on its own.

use serde_json::{Value, json};

use crate::support::{
    Chat, Client, Finished, Site, eventually, on_each_backing, on_services, settles,
};

/// Waits until a chat's messages, from 1 to `count`, are counted and found by "hello".
async fn at_rest(api: &Client, chat: &Chat, count: u64) {
    settles("the count", json!(count), async || {
        api.messages_count(chat).await
    })
    .await;
    found(api, chat, "hello", &(1..=count).collect::<Vec<_>>()).await;
}

async fn found(api: &Client, chat: &Chat, query: &str, numbers: &[u64]) {
    let what = format!("search for {query:?}");
    settles(&what, numbers.to_vec(), async || {
        api.found(chat, query).await
    })
    .await;
}

/// Fails unless the command ended with this code and its output names each of these.
#[track_caller]
fn tells(finished: &Finished, code: i32, words: &[&str]) {
    finished.expect_code(code);
    for word in words {
        assert!(
            finished.stdout.to_lowercase().contains(word),
            "no {word:?} in it: {finished:#?}"
        );
    }
}

/// A chat that no process looks after: its message 1 has an outdated document, its message 2 is gone though its document
/// is not, and its message 3 has none.
async fn damaged(site: &Site) -> Chat {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for text in ["hello outdated", "hello"] {
        api.say(&chat, text).await;
    }
    at_rest(&api, &chat, 2).await;
    // Else the clean job might be faster than whatever follows.
    drop(api);
    let of_chat = format!("app = '{}' AND chat = {}", chat.app, chat.number);
    for sql in [
        format!(
            "INSERT INTO messages (app, chat, number, text, revision, created_at, batch) \
             SELECT app, chat, 3, 'hello', revision, created_at, batch FROM messages WHERE {of_chat} AND number = 2"
        ),
        format!(
            "UPDATE messages SET text = 'hello', revision = revision + 1 WHERE {of_chat} AND number = 1"
        ),
        format!("DELETE FROM messages WHERE {of_chat} AND number = 2"),
    ] {
        assert_eq!(site.execute(&sql).await, 1, "{sql}");
    }
    chat
}

async fn search_verify_finds_and_mends_missing_stale_and_dangling_documents(site: &Site) {
    let chat = damaged(site).await;
    let keys = [1, 2, 3].map(|number| format!("{}:1:{number}", chat.app));
    let [stale, dangling, missing] = keys.each_ref().map(String::as_str);
    let words = [missing, "missing", stale, "stale", dangling, "dangling"];
    let found_wrong = site.confab(&["search", "verify"]).await;
    tells(&found_wrong, 1, &words);
    // Looking has changed nothing.
    let found_again = site.confab(&["search", "verify", "--json"]).await;
    tells(&found_again, 1, &words);
    let report: Value = serde_json::from_str(&found_again.stdout).expect("one JSON object");
    assert!(report.is_object(), "{report:#}");

    let mended = site.confab(&["search", "verify", "--fix"]).await;
    tells(&mended, 0, &words);
    site.confab(&["search", "verify"]).await.expect_code(0);

    let api = site
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    found(&api, &chat, "hello", &[1, 3]).await;
    found(&api, &chat, "outdated", &[]).await;
}

async fn search_verify_claims_no_more_than_it_mended(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    at_rest(&api, &chat, 1).await;
    drop(api);
    // For a minute, Elasticsearch refuses to take a document back in at a version that it has deleted.
    let document = format!("{}:1:1", chat.app);
    site.services().elasticsearch().delete(&document).await;
    site.confab(&["search", "verify"]).await.expect_code(1);
    let claimed = site.confab(&["search", "verify", "--fix"]).await;
    let found = site.confab(&["search", "verify"]).await;
    assert_eq!(claimed.code, found.code, "{claimed:#?} {found:#?}");
}

async fn the_clean_job_mends_the_index_by_itself(site: &Site) {
    let chat = damaged(site).await;
    let api = site
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    found(&api, &chat, "outdated", &[1]).await;
    found(&api, &chat, "hello", &[1, 2]).await;
    drop(api);

    let api = site.start().await;
    found(&api, &chat, "hello", &[1, 3]).await;
    found(&api, &chat, "outdated", &[]).await;
}

async fn an_index_that_was_deleted_comes_back_by_itself(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=3 {
        api.say(&chat, "hello").await;
    }
    at_rest(&api, &chat, 3).await;
    let elasticsearch = site.services().elasticsearch();
    elasticsearch.remove_indices().await.expect("it is deleted");

    // Writes do not wait for it.
    for number in 4..=6 {
        assert_eq!(api.say(&chat, "hello").await, number);
    }
    at_rest(&api, &chat, 6).await;
    // In one piece: one index, and nothing left to mend.
    let indices = elasticsearch.indices().await.expect("an answer");
    assert_eq!(indices.len(), 1, "{indices:?}");
    site.confab(&["search", "verify"]).await.expect_code(0);
}

async fn a_rebuild_misses_nothing_that_is_written_meanwhile(site: &Site) {
    let processes = site.start_all().await;
    let api = &processes[0];
    let chat = api.new_app_and_chat().await;
    for _ in 0..50 {
        api.say(&chat, "hello").await;
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
                    let number = api.say(&chat, "hello").await;
                    api.change(&chat, number, "hello again").await;
                    written.push(number);
                }
                written
            });
            (stop, writing)
        })
        .collect();
    site.no_rebuild_is_unfinished().await;
    for _ in 0..2 {
        site.confab(&["search", "rebuild"]).await.expect_code(0);
    }
    let mut changed = Vec::new();
    for (stop, writing) in writers {
        stop.send(()).expect("it is still writing");
        changed.extend(writing.await.expect("the writers are content"));
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
    site.confab(&["search", "verify"]).await.expect_code(0);
}

async fn counts_verify_finds_and_mends_wrong_counts(site: &Site) {
    let api = site.start().await;
    let app = api.new_app().await;
    let chats = [
        api.new_chat(&app).await,
        api.new_chat(&app).await,
        api.new_chat(&app).await,
    ];
    for chat in &chats[..2] {
        for _ in 1..=3 {
            api.say(chat, "hello").await;
        }
        at_rest(&api, chat, 3).await;
    }
    let id = &app.id;
    let chats_count = format!("SELECT chats_count FROM applications WHERE id = '{id}'");
    settles("the stored count", Some(3), async || {
        site.stored_number(&chats_count).await
    })
    .await;
    // Else the clean job might be faster than the command.
    drop(api);
    for damage in [
        format!("UPDATE applications SET chats_count = 7 WHERE id = '{id}'"),
        format!("UPDATE chats SET messages_count = 2 WHERE app = '{id}' AND number = 1"),
        format!("UPDATE chats SET messages_count = 1 WHERE app = '{id}' AND number = 3"),
    ] {
        assert_eq!(site.execute(&damage).await, 1, "{damage}");
    }

    let (one, three) = (format!("{id}:1"), format!("{id}:3"));
    let words = [id.as_str(), &one, &three];
    let found_wrong = site.confab(&["counts", "verify"]).await;
    tells(&found_wrong, 1, &words);
    let found_again = site.confab(&["counts", "verify", "--json"]).await;
    tells(&found_again, 1, &words);
    let report: Value = serde_json::from_str(&found_again.stdout).expect("one JSON object");
    assert!(report.is_object(), "{report:#}");

    let mended = site.confab(&["counts", "verify", "--fix"]).await;
    tells(&mended, 0, &words);
    site.confab(&["counts", "verify"]).await.expect_code(0);
    assert_eq!(site.stored_number(&chats_count).await, Some(3));

    let api = site.start().await;
    assert_eq!(api.messages_count(&chats[0]).await, 3);
    assert_eq!(api.messages_count(&chats[1]).await, 3);
    // A chat without messages has no count, or the count of none.
    let none = api.messages_count(&chats[2]).await;
    assert!(none == 0 || none.is_null(), "{none}");
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "3");
}

async fn the_clean_job_mends_counts_by_itself(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=3 {
        api.say(&chat, "hello").await;
    }
    at_rest(&api, &chat, 3).await;
    let damage = format!(
        "UPDATE chats SET messages_count = 30 WHERE app = '{}'",
        chat.app
    );
    assert_eq!(site.execute(&damage).await, 1);
    settles("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
}

on_each_backing!(
    a_rebuild_misses_nothing_that_is_written_meanwhile,
    counts_verify_finds_and_mends_wrong_counts,
    the_clean_job_mends_counts_by_itself,
);

on_services!(
    search_verify_finds_and_mends_missing_stale_and_dangling_documents,
    search_verify_claims_no_more_than_it_mended,
    the_clean_job_mends_the_index_by_itself,
    an_index_that_was_deleted_comes_back_by_itself,
);
