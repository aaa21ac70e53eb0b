//! Reconciliation of a database that was restored from an older backup with Redis and the index, and backups of the file.

use std::fs;

use serde_json::json;

use crate::{
    shutdown::exit_code,
    support::{
        Chat, Client, Fixture, Process, apply, eventually, eventually_eq, on_each_backend,
        on_embedded, on_services,
    },
};

/// Creates a chat with five messages and an update of the first. Returns the first message's revision before the
/// update.
async fn new_updated_chat(fixture: &Fixture, api: &Client) -> (Chat, i64) {
    let chat = api.new_app_and_chat().await;
    for _ in 1..=5 {
        api.create_message(&chat, "hello old").await;
    }
    at_rest(api, &chat, &[1, 2, 3, 4, 5]).await;
    let revision = fixture
        .stored_number("SELECT revision FROM messages WHERE number = 1")
        .await
        .expect("it is stored");
    api.update_message(&chat, 1, "hello new").await;
    eventually_eq("the update is found", vec![1], async || {
        api.search_numbers(&chat, "new").await
    })
    .await;
    (chat, revision)
}

/// Restores the state of a backup: without the update and without the last two messages. `epochs` is how many epochs
/// the backup is behind.
async fn restore_backup(fixture: &Fixture, revision: i64, epochs: u64) {
    for sql in [
        format!(
            "UPDATE messages SET text = 'hello old', revision = {revision}, updated_at = NULL WHERE number = 1"
        ),
        "DELETE FROM messages WHERE number > 3".to_owned(),
    ] {
        fixture.execute(&sql).await;
    }
    if epochs > 0 {
        fixture
            .execute(&format!(
                "UPDATE state SET queue_epoch = queue_epoch - {epochs}"
            ))
            .await;
    }
}

async fn at_rest(api: &Client, chat: &Chat, numbers: &[u64]) {
    eventually_eq("the count", json!(numbers.len()), async || {
        api.messages_count(chat).await
    })
    .await;
    eventually_eq("what is found", numbers.to_vec(), async || {
        api.search_numbers(chat, "hello").await
    })
    .await;
}

/// Fails unless everything is reconciled without a command, and new messages work.
async fn expect_reconciled(fixture: &Fixture, api: &Process, chat: &Chat) {
    eventually_eq("the lost update", vec![], async || {
        api.search_numbers(chat, "new").await
    })
    .await;
    at_rest(api, chat, &[1, 2, 3]).await;
    fixture.confab(&["search", "verify"]).await.expect_code(0);

    api.update_message(chat, 1, "hello newest").await;
    eventually_eq("an update after it", vec![1], async || {
        api.search_numbers(chat, "newest").await
    })
    .await;
    // Redis knows the numbers that the database has lost.
    assert_eq!(api.create_message(chat, "hello").await, 6);
    at_rest(api, chat, &[1, 2, 3, 6]).await;
    fixture.confab(&["search", "verify"]).await.expect_code(0);
}

#[apply(on_each_backend!)]
async fn restored_rows_are_reconciled_by_a_running_process(fixture: &Fixture) {
    let api = fixture.start().await;
    let (chat, revision) = new_updated_chat(fixture, &api).await;
    restore_backup(fixture, revision, 0).await;
    expect_reconciled(fixture, &api, &chat).await;
}

#[apply(on_services!)]
async fn restored_rows_and_epoch_are_reconciled_by_a_running_process(fixture: &Fixture) {
    let api = fixture.start().await;
    let (chat, revision) = new_updated_chat(fixture, &api).await;
    restore_backup(fixture, revision, 1).await;
    expect_reconciled(fixture, &api, &chat).await;
}

#[apply(on_each_backend!)]
async fn restored_rows_are_reconciled_at_the_next_start(fixture: &Fixture) {
    let api = fixture.start().await;
    let (chat, revision) = new_updated_chat(fixture, &api).await;
    drop(api);
    restore_backup(fixture, revision, 0).await;
    let api = fixture.start().await;
    expect_reconciled(fixture, &api, &chat).await;
}

#[apply(on_services!)]
async fn restored_rows_and_epoch_are_reconciled_at_the_next_start(fixture: &Fixture) {
    let api = fixture.start().await;
    let (chat, revision) = new_updated_chat(fixture, &api).await;
    drop(api);
    restore_backup(fixture, revision, 1).await;
    let api = fixture.start().await;
    expect_reconciled(fixture, &api, &chat).await;
}

#[apply(on_services!)]
async fn unfinished_rebuild_from_before_a_restore_is_not_resumed(fixture: &Fixture) {
    let api = fixture.start().await;
    let (chat, revision) = new_updated_chat(fixture, &api).await;
    fixture.no_rebuild_is_unfinished().await;
    drop(api);
    // The index holds the messages as they were.
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:1:crash")];
    let killed = fixture.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    restore_backup(fixture, revision, 1).await;
    let api = fixture.start().await;
    expect_reconciled(fixture, &api, &chat).await;
}

#[apply(on_services!)]
async fn lost_chat_row_is_recreated(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=3 {
        api.create_message(&chat, "hello").await;
    }
    at_rest(&api, &chat, &[1, 2, 3]).await;
    let created_at = api.get(chat.message(1)).await.time_field("CreatedAt");
    assert_eq!(fixture.execute("DELETE FROM chats").await, 1);
    eventually_eq("the chat", json!(3), async || {
        let response = api.get(&chat).await;
        if response.status == 200 {
            response.json()["MessagesCount"].clone()
        } else {
            json!(null)
        }
    })
    .await;
    assert_eq!(api.get(&chat).await.time_field("CreatedAt"), created_at);
    fixture.confab(&["counts", "verify"]).await.expect_code(0);
}

#[apply(on_services!)]
async fn lost_application_row_is_recreated(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.create_message(&chat, "hello").await;
    at_rest(&api, &chat, &[1]).await;
    let created_at = api.get(&chat).await.time_field("CreatedAt");
    assert_eq!(fixture.execute("DELETE FROM applications").await, 1);
    fixture
        .services()
        .remove_keys()
        .await
        .expect("it is emptied");
    let counted = async || {
        let response = api.get(&app).await;
        (response.status == 200).then(|| response.text_field("ChatsCount"))
    };
    eventually_eq("the application", Some("1".into()), counted).await;
    let response = api.get(&app).await;
    assert_eq!(response.text_field("Username"), "unknown");
    assert_eq!(response.time_field("CreatedAt"), created_at);
    assert_eq!(api.new_chat(&app).await.number, 2);
    // The row began with no chats, because its count was deleted with it.
    eventually_eq("the counts are corrected", Some(0), async || {
        fixture.confab(&["counts", "verify"]).await.code
    })
    .await;
}

/// A primary may fail over to a replica that lags: the last transactions are lost, within one epoch.
#[apply(on_services!)]
async fn rows_lost_within_an_epoch_raise_an_alarm_and_begin_an_epoch(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=5 {
        api.create_message(&chat, "hello").await;
    }
    at_rest(&api, &chat, &[1, 2, 3, 4, 5]).await;
    fixture.no_rebuild_is_unfinished().await;
    let epoch = async || {
        let epoch = fixture.stored_number("SELECT queue_epoch FROM state").await;
        epoch.expect("an epoch")
    };
    let (before, old) = (epoch().await, indices(fixture).await);
    // No older row tells of the loss: these messages were never updated.
    assert_eq!(
        fixture
            .execute("DELETE FROM messages WHERE number > 3")
            .await,
        2
    );
    eventually("an alarm", async || {
        let metrics = api.admin().get("/metrics").await.body;
        let series = |what| format!("confab_drift_found_total{{what=\"{what}\"}}");
        let count = |what| {
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix(&*series(what)));
            line.and_then(|count| count.trim().parse::<u64>().ok())
        };
        assert_eq!(count("dangling_document"), Some(0), "a document is deleted");
        match count("lost_row") {
            Some(lost) if lost >= 2 => Ok(()),
            _ => Err(metrics),
        }
    })
    .await;
    eventually_eq("an epoch begins", before + 1, epoch).await;
    assert!(
        api.output().contains("The database has lost rows"),
        "{}",
        api.output()
    );
    eventually("readiness tells", async || {
        let readiness = api.admin().get("/readyz").await.json();
        let alarm = &readiness["alarms"][0];
        let text = alarm.as_str().unwrap_or_default();
        if text.contains("lost rows") {
            Ok(())
        } else {
            Err(readiness)
        }
    })
    .await;

    // The index follows the rows again, and no number and no revision is given twice.
    at_rest(&api, &chat, &[1, 2, 3]).await;
    eventually("the index is a new one", async || {
        let new = indices(fixture).await;
        if new == old { Err(new) } else { Ok(()) }
    })
    .await;
    assert_eq!(api.create_message(&chat, "hello").await, 6);
    at_rest(&api, &chat, &[1, 2, 3, 6]).await;
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    eventually_eq("no further epoch begins", before + 1, epoch).await;
}

async fn indices(fixture: &Fixture) -> Vec<String> {
    let indices = fixture.services().elasticsearch().indices().await;
    indices.expect("a response")
}

/// Replaces the file by a backup, as docs/operating.md says.
fn restore_file(fixture: &Fixture, backup: &std::path::Path) {
    let file = fixture.file();
    for ending in ["", "-wal", "-shm"] {
        let mut name = file.clone().into_os_string();
        name.push(ending);
        let path = std::path::PathBuf::from(name);
        if path.exists() {
            let mut away = path.clone().into_os_string();
            away.push(".away");
            fs::rename(&path, away).expect("it can be moved");
        }
    }
    fs::copy(backup, file).expect("the backup can be copied");
}

/// Fails unless a process on the restored file has exactly the first messages of the chat and goes on after them.
async fn expect_restored(fixture: &Fixture, chat: &Chat, messages: u64) {
    let api = fixture.start().await;
    let page = api.get(format!("{chat}/messages?limit=1000")).await;
    let numbers: Vec<u64> = page.numbers("messageID");
    assert_eq!(numbers, (1..=messages).collect::<Vec<_>>());
    assert_eq!(api.create_message(chat, "hello").await, messages + 1);
    at_rest(&api, chat, &(1..=messages + 1).collect::<Vec<_>>()).await;
    drop(api);
    fixture.confab(&["search", "verify"]).await.expect_code(0);
    fixture.confab(&["counts", "verify"]).await.expect_code(0);
}

#[apply(on_embedded!)]
async fn file_backed_up_while_it_is_served_is_complete(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=15 {
        api.create_message(&chat, "hello").await;
    }
    let backup = fixture.folder().join("backup.sqlite3");
    fixture
        .execute(&format!("VACUUM INTO '{}'", backup.display()))
        .await;
    for _ in 1..=5 {
        api.create_message(&chat, "hello, too late").await;
    }
    api.kill();
    restore_file(fixture, &backup);
    expect_restored(fixture, &chat, 15).await;
}

#[apply(on_embedded!)]
async fn folder_copied_while_nobody_serves_it_is_complete(fixture: &Fixture) {
    for stopped in [true, false] {
        let mut api = fixture.start().await;
        let chat = api.new_app_and_chat().await;
        for _ in 1..=15 {
            api.create_message(&chat, "hello").await;
        }
        if stopped {
            api.signal("TERM");
            assert_eq!(exit_code(&mut api).await, Some(0));
        }
        drop(api);
        let folder = fixture.file();
        let folder = folder.parent().expect("a file is in a folder");
        let backup = fixture.folder().join("backup");
        let copied = std::process::Command::new("cp")
            .args(["-a", "--"])
            .args([folder, &backup])
            .status();
        assert!(copied.as_ref().is_ok_and(|status| status.success()));
        fs::remove_dir_all(folder).expect("it can be removed");
        fs::rename(backup, folder).expect("it can be moved");
        expect_restored(fixture, &chat, 15).await;
    }
}
