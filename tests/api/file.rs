//! The one file of the embedded backing: whose it is, what may be wrong with it, and how it is mended.

use std::fs;

use serde_json::json;

use crate::support::{Finished, Site, on_embedded, settles};

/// Fails unless the program refused to start with one line that names the file and holds these words.
#[track_caller]
fn refused(site: &Site, finished: &Finished, words: &[&str]) {
    finished.expect_code(1);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{finished:#?}");
    let file = site.file();
    let file = file.to_str().expect("a path in UTF-8");
    for word in [file].iter().chain(words) {
        assert!(lines[0].contains(word), "no {word:?} in it: {finished:#?}");
    }
}

async fn one_process_serves_a_file_and_commands_work_beside_it(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    let finished = site.confab(&["serve"]).await;
    refused(site, &finished, &["already"]);
    for command in [
        &["migrate"] as &[&str],
        &["jobs", "stats"],
        &["search", "verify"],
        &["search", "rebuild"],
        &["counts", "verify", "--fix"],
    ] {
        site.confab(command).await.expect_code(0);
    }
    assert_eq!(api.say(&chat, "hello again").await, 2);
    api.kill();
    // What a process that died held is nobody's.
    let api = site.start().await;
    assert_eq!(api.say(&chat, "and again").await, 3);
}

async fn the_start_says_where_the_data_is_and_what_to_try(site: &Site) {
    let api = site.start_with(&[("CONFAB_LOG__LEVEL", "info")]).await;
    let output = api.output();
    for words in [
        &*site.file().display().to_string(),
        "listening on http://127.0.0.1:",
        "try: curl ",
    ] {
        assert!(output.contains(words), "no {words:?} in it:\n{output}");
    }
}

async fn a_file_that_is_no_database_is_refused_and_left_alone(site: &Site) {
    let folder = site.folder().join("data");
    fs::create_dir(&folder).expect("a folder");
    let text = "dear diary, ".repeat(500);
    fs::write(site.file(), &text).expect("a file");
    refused(
        site,
        &site.confab(&["serve"]).await,
        &["not a database", "backup"],
    );
    assert_eq!(fs::read_to_string(site.file()).expect("a file"), text);
}

async fn a_file_of_a_newer_version_is_refused(site: &Site) {
    site.confab(&["migrate"]).await.expect_code(0);
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    assert_eq!(site.execute(newer).await, 1);
    for command in [&["serve"] as &[&str], &["migrate"], &["jobs", "stats"]] {
        refused(
            site,
            &site.confab(command).await,
            &["newer", "99990101000000"],
        );
    }
}

async fn a_folder_that_cannot_be_made_is_named(site: &Site) {
    fs::write(
        site.folder().join("data"),
        "a file where the folder should be",
    )
    .expect("a file");
    let finished = site.confab(&["serve"]).await;
    finished.expect_code(1);
    assert!(
        finished.stderr.contains("cannot create the folder"),
        "{finished:#?}"
    );
    assert!(finished.stderr.contains("embedded.path"), "{finished:#?}");
}

async fn a_command_makes_no_file(site: &Site) {
    refused(
        site,
        &site.confab(&["jobs", "stats"]).await,
        &["confab migrate"],
    );
    assert!(!site.file().exists());
}

async fn what_is_wrong_with_the_full_text_is_found_and_mended(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for text in ["hello", "hello outdated", "hello"] {
        api.say(&chat, text).await;
    }
    settles("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    drop(api);
    let of = |number: u64| {
        let chat = format!("app = '{}' AND chat = {}", chat.app, chat.number);
        format!("(SELECT id FROM messages WHERE {chat} AND number = {number})")
    };
    for damage in [
        format!("DELETE FROM words_1 WHERE rowid = {}", of(1)),
        format!(
            "UPDATE messages SET text = 'hello', revision = revision + 1 WHERE id = {}",
            of(2)
        ),
        format!("DELETE FROM messages WHERE id = {}", of(3)),
    ] {
        site.execute(&damage).await;
    }
    let report = site.confab(&["search", "verify"]).await;
    report.expect_code(1);
    for problem in ["1 Missing", "2 Stale", "3 Dangling"] {
        assert!(report.stdout.contains(problem), "{report:#?}");
    }
    site.confab(&["search", "verify", "--fix"])
        .await
        .expect_code(0);
    site.confab(&["search", "verify"]).await.expect_code(0);
    let idle = [("CONFAB_WORKERS__ENABLED", "false")];
    let api = site.start_with(&idle).await;
    assert_eq!(api.found(&chat, "hello").await, [1, 2]);
    assert_eq!(api.found(&chat, "outdated").await, [0; 0]);
}

async fn a_rebuild_that_died_is_finished_by_the_next_start(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..3 {
        api.say(&chat, "hello").await;
    }
    settles("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    // As if it had just begun.
    for sql in [
        "CREATE VIRTUAL TABLE words_2 USING fts5 (words, revision UNINDEXED, content = '', \
         contentless_delete = 1, contentless_unindexed = 1, tokenize = 'ascii')",
        "INSERT INTO search_indexes (name, role) VALUES ('words_2', 'building')",
        "INSERT INTO index_build (id, target) VALUES (1, 'words_2')",
    ] {
        site.execute(sql).await;
    }
    let built = "SELECT COUNT(*) FROM search_indexes WHERE name = 'words_2' AND role = 'current'";
    settles("the new index is in use", Some(1), async || {
        site.stored_number(built).await
    })
    .await;
    assert_eq!(api.found(&chat, "hello").await, [1, 2, 3]);
    site.confab(&["search", "verify"]).await.expect_code(0);
}

on_embedded!(
    one_process_serves_a_file_and_commands_work_beside_it,
    the_start_says_where_the_data_is_and_what_to_try,
    a_file_that_is_no_database_is_refused_and_left_alone,
    a_file_of_a_newer_version_is_refused,
    a_folder_that_cannot_be_made_is_named,
    a_command_makes_no_file,
    what_is_wrong_with_the_full_text_is_found_and_mended,
    a_rebuild_that_died_is_finished_by_the_next_start,
);
