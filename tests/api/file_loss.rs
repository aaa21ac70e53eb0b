//! A data file that is removed, renamed or replaced while a process serves it, or that is missing at the start.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    readiness::wait_for_readiness,
    support::{Chat, Fixture, Process, apply, eventually, on_embedded},
};

/// The line that the log must hold once the loss is noticed.
const LOST: &str = "Data file was removed or replaced";

/// A file beside the data file: its path with an ending.
fn beside(fixture: &Fixture, ending: &str) -> PathBuf {
    let mut path = fixture.file().into_os_string();
    path.push(ending);
    path.into()
}

/// Starts a process and stores a message.
async fn start(fixture: &Fixture) -> (Process, Chat) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    wait_for_readiness(&api, 200, "ready").await;
    (api, chat)
}

/// Waits until the process has noticed the loss; then fails unless writes are refused and nothing recovers by itself.
async fn expect_lost(api: &Process, chat: &Chat) {
    let logged = eventually("an error line", async || {
        let output = api.output();
        let line = output.lines().find(|line| line.contains(LOST));
        line.map(str::to_owned).ok_or(output.clone())
    });
    let line = logged.await;
    assert!(line.contains("ERROR"), "{line}");
    expect_refused(api, chat).await;
    wait_for_readiness(api, 503, "unavailable").await;
    expect_refused(api, chat).await;
}

async fn expect_refused(api: &Process, chat: &Chat) {
    let body = json!({"message": "is it kept?"});
    let created = api.post(format!("{chat}/message"), &body).await;
    created.expect_status(503);
    let updated = api.put(chat.message(1), &body).await;
    updated.expect_status(503);
    let app = api.post("/application", &json!({"username": "me"})).await;
    app.expect_status(503);
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[apply(on_embedded!)]
async fn removed_data_file_stops_writes_and_readiness(fixture: &Fixture) {
    let (api, chat) = start(fixture).await;
    for ending in ["", "-wal", "-shm"] {
        remove(&beside(fixture, ending));
    }
    // The first write after it already.
    expect_refused(&api, &chat).await;
    expect_lost(&api, &chat).await;
    // A new process starts with an empty file, and the old one stays out of it.
    for ending in ["", "-wal", "-shm"] {
        assert!(!beside(fixture, ending).exists(), "{ending}");
    }
}

#[apply(on_embedded!)]
async fn removed_log_stops_writes_and_readiness(fixture: &Fixture) {
    for ending in ["-wal", "-shm"] {
        let (api, chat) = start(fixture).await;
        remove(&beside(fixture, ending));
        expect_refused(&api, &chat).await;
        expect_lost(&api, &chat).await;
        api.kill();
        for ending in ["", "-wal", "-shm"] {
            fs::remove_file(beside(fixture, ending)).ok();
        }
    }
}

#[apply(on_embedded!)]
async fn renamed_data_file_stops_writes_until_it_is_renamed_back(fixture: &Fixture) {
    let (api, chat) = start(fixture).await;
    let elsewhere = beside(fixture, ".moved");
    fs::rename(fixture.file(), &elsewhere).expect("a rename");
    expect_refused(&api, &chat).await;
    expect_lost(&api, &chat).await;
    fs::rename(&elsewhere, fixture.file()).expect("a rename");
    wait_for_readiness(&api, 200, "ready").await;
    let number = api.create_message(&chat, "hello again").await;
    assert_eq!(number, 2, "refused writes take no number");
    assert_eq!(api.text(&chat, 1).await, "hello");
}

#[apply(on_embedded!)]
async fn replaced_data_file_stops_writes(fixture: &Fixture) {
    let (api, chat) = start(fixture).await;
    let copy = beside(fixture, ".copy");
    fs::copy(fixture.file(), &copy).expect("a copy");
    fs::rename(&copy, fixture.file()).expect("a rename");
    let before = fs::read(fixture.file()).expect("a file");
    expect_refused(&api, &chat).await;
    expect_lost(&api, &chat).await;
    let after = fs::read(fixture.file()).expect("a file");
    assert!(before == after, "the new file was written to");
}

#[apply(on_embedded!)]
async fn emptied_data_file_stops_writes(fixture: &Fixture) {
    let (api, chat) = start(fixture).await;
    fs::File::create(fixture.file()).expect("the file can be emptied");
    expect_refused(&api, &chat).await;
    expect_lost(&api, &chat).await;
}

#[apply(on_embedded!)]
async fn loss_is_logged_without_any_request(fixture: &Fixture) {
    let (api, _) = start(fixture).await;
    remove(&fixture.file());
    eventually("an error line", async || {
        let output = api.output();
        if output.contains(LOST) {
            Ok(())
        } else {
            Err(output)
        }
    })
    .await;
}

#[apply(on_embedded!)]
async fn log_without_its_data_file_is_refused_at_the_start(fixture: &Fixture) {
    let (api, chat) = start(fixture).await;
    api.kill();
    let elsewhere = beside(fixture, ".moved");
    for emptied in [false, true] {
        fs::rename(fixture.file(), &elsewhere).expect("a rename");
        if emptied {
            fs::File::create(fixture.file()).expect("a file");
        }
        for command in ["serve", "migrate"] {
            let finished = fixture.confab(&[command]).await;
            finished.expect_code(1);
            for words in ["-wal", "without"] {
                assert!(finished.stderr.contains(words), "{finished:#?}");
            }
        }
        fs::rename(&elsewhere, fixture.file()).expect("a rename");
    }
    // Nothing was changed by that.
    let api = fixture.start().await;
    assert_eq!(api.text(&chat, 1).await, "hello");
}
