//! The file of the embedded backend: exclusive use, errors, and repair.

use std::fs;

use serde_json::json;

use crate::support::{CommandOutput, Fixture, apply, eventually_eq, on_embedded};

/// Fails unless startup failed with one line that contains the name of the file and these words.
#[track_caller]
fn refused(fixture: &Fixture, finished: &CommandOutput, words: &[&str]) {
    finished.expect_code(1);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{finished:#?}");
    let file = fixture.file();
    let file = file.to_str().expect("a path in UTF-8");
    for word in [file].iter().chain(words) {
        assert!(lines[0].contains(word), "no {word:?} in it: {finished:#?}");
    }
}

#[apply(on_embedded!)]
async fn only_one_process_serves_a_file_and_commands_work_beside_it(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    let finished = fixture.confab(&["serve"]).await;
    refused(fixture, &finished, &["already"]);
    for command in [
        &["migrate"] as &[&str],
        &["jobs", "stats"],
        &["search", "verify"],
        &["search", "rebuild"],
        &["counts", "verify", "--fix"],
    ] {
        fixture.confab(command).await.expect_code(0);
    }
    assert_eq!(api.create_message(&chat, "hello again").await, 2);
    api.kill();
    // Leases of a killed process have no owner.
    let api = fixture.start().await;
    assert_eq!(api.create_message(&chat, "and again").await, 3);
}

#[apply(on_embedded!)]
async fn startup_prints_data_path_address_and_example_request(fixture: &Fixture) {
    let api = fixture.start_with(&[("CONFAB_LOG__LEVEL", "info")]).await;
    let output = api.output();
    for words in [
        &*fixture.file().display().to_string(),
        "listening on http://127.0.0.1:",
        "try: curl ",
    ] {
        assert!(output.contains(words), "no {words:?} in it:\n{output}");
    }
}

#[apply(on_embedded!)]
async fn file_that_is_not_a_database_is_rejected_unchanged(fixture: &Fixture) {
    let folder = fixture.folder().join("data");
    fs::create_dir(&folder).expect("a folder");
    let text = "dear diary, ".repeat(500);
    fs::write(fixture.file(), &text).expect("a file");
    refused(
        fixture,
        &fixture.confab(&["serve"]).await,
        &["not a database", "backup"],
    );
    assert_eq!(fs::read_to_string(fixture.file()).expect("a file"), text);
}

#[apply(on_embedded!)]
async fn file_of_a_newer_version_is_rejected(fixture: &Fixture) {
    fixture.confab(&["migrate"]).await.expect_code(0);
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    assert_eq!(fixture.execute(newer).await, 1);
    for command in [&["serve"] as &[&str], &["migrate"], &["jobs", "stats"]] {
        refused(
            fixture,
            &fixture.confab(command).await,
            &["newer", "99990101000000"],
        );
    }
}

#[apply(on_embedded!)]
async fn error_names_a_folder_that_cannot_be_created(fixture: &Fixture) {
    fs::write(
        fixture.folder().join("data"),
        "a file where the folder should be",
    )
    .expect("a file");
    let finished = fixture.confab(&["serve"]).await;
    finished.expect_code(1);
    assert!(
        finished.stderr.contains("cannot create the folder"),
        "{finished:#?}"
    );
    assert!(finished.stderr.contains("embedded.path"), "{finished:#?}");
}

#[apply(on_embedded!)]
async fn commands_do_not_create_a_file(fixture: &Fixture) {
    refused(
        fixture,
        &fixture.confab(&["jobs", "stats"]).await,
        &["confab migrate"],
    );
    assert!(!fixture.file().exists());
}

#[apply(on_embedded!)]
async fn full_text_errors_are_found_and_repaired(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for text in ["hello", "hello outdated", "hello"] {
        api.create_message(&chat, text).await;
    }
    eventually_eq("the count", json!(3), async || {
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
        fixture.execute(&damage).await;
    }
    let report = fixture.confab(&["search", "verify"]).await;
    report.expect_code(1);
    for problem in ["1 Missing", "2 Stale", "3 Dangling"] {
        assert!(report.stdout.contains(problem), "{report:#?}");
    }
    fixture
        .confab(&["search", "verify", "--fix"])
        .await
        .expect_code(0);
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    let idle = [("CONFAB_WORKERS__ENABLED", "false")];
    let api = fixture.start_with(&idle).await;
    assert_eq!(api.search_numbers(&chat, "hello").await, [1, 2]);
    assert_eq!(api.search_numbers(&chat, "outdated").await, [0; 0]);
}

#[apply(on_embedded!)]
async fn interrupted_rebuild_is_completed_at_the_next_start(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..3 {
        api.create_message(&chat, "hello").await;
    }
    eventually_eq("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    // As if the rebuild had just begun.
    for sql in [
        "CREATE VIRTUAL TABLE words_2 USING fts5 (words, revision UNINDEXED, content = '', \
         contentless_delete = 1, contentless_unindexed = 1, tokenize = 'ascii')",
        "INSERT INTO search_indexes (name, role) VALUES ('words_2', 'building')",
        "INSERT INTO index_build (id, target) VALUES (1, 'words_2')",
    ] {
        fixture.execute(sql).await;
    }
    let built = "SELECT COUNT(*) FROM search_indexes WHERE name = 'words_2' AND role = 'current'";
    eventually_eq("the new index is in use", Some(1), async || {
        fixture.stored_number(built).await
    })
    .await;
    assert_eq!(api.search_numbers(&chat, "hello").await, [1, 2, 3]);
    fixture.confab(&["search", "verify"]).await.expect_code(0);
}
