//! The operator's job commands, beside a running process.

use serde_json::Value;

use crate::support::{
    BackendKind, CommandOutput, Fixture, Process, apply, eventually, eventually_eq, on_each_backend,
};

/// A failed job becomes a dead letter at once.
pub const ONE_TRY: [(&str, &str); 1] = [("CONFAB_WORKERS__TRIES", "1")];

impl Fixture {
    /// Makes the database reject messages that contain "unstorable".
    pub async fn reject_unstorable_messages(&self) {
        self.execute(match self.backend_kind() {
            BackendKind::Services => {
                "ALTER TABLE messages ADD CONSTRAINT poison CHECK (text <> 'unstorable')"
            }
            BackendKind::Embedded => {
                "CREATE TRIGGER poison BEFORE INSERT ON messages WHEN NEW.text = 'unstorable' \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            }
        })
        .await;
    }

    /// Makes the database accept them again.
    pub async fn take_everything(&self) {
        self.execute(match self.backend_kind() {
            BackendKind::Services => "ALTER TABLE messages DROP CHECK poison",
            BackendKind::Embedded => "DROP TRIGGER poison",
        })
        .await;
    }

    /// Runs a job command, which must succeed, and parses its output.
    pub async fn jobs(&self, arguments: &[&str]) -> Value {
        let finished = self
            .confab(&[&["jobs", "--json"], arguments].concat())
            .await;
        finished.expect_code(0);
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }

    /// Waits for a number of dead letters and returns their IDs.
    pub async fn dead(&self, count: usize) -> Vec<String> {
        eventually("dead letters", async || {
            let listed = self.jobs(&["list"]).await;
            let jobs = listed["jobs"].as_array().expect("a list");
            let ids: Vec<String> = jobs.iter().map(|job| text(&job["id"])).collect();
            if ids.len() == count {
                Ok(ids)
            } else {
                Err(listed)
            }
        })
        .await
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// Fails unless the command was rejected with this text.
#[track_caller]
fn expect_refusal(finished: &CommandOutput, words: &str) {
    finished.expect_code(1);
    assert!(finished.stderr.contains(words), "{finished:#?}");
}

#[apply(on_each_backend!)]
async fn dead_letter_is_listed_and_stored_after_its_cause_is_removed(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "before").await;
    fixture.reject_unstorable_messages().await;
    api.create_message(&chat, "unstorable").await;
    api.create_message(&chat, "after").await;
    let ids = fixture.dead(1).await;

    // Other jobs are not affected, and the message can be read.
    let others = vec![(1, "before".to_owned()), (3, "after".to_owned())];
    eventually_eq("the others", others, async || {
        fixture.stored_messages(&chat).await
    })
    .await;
    assert_eq!(api.text(&chat, 2).await, "unstorable");

    let listed = fixture.confab(&["jobs", "list"]).await;
    listed.expect_code(0);
    assert!(listed.stdout.contains(&ids[0]), "{listed:#?}");
    assert!(!listed.stdout.contains("unstorable"), "{listed:#?}");
    let shown = fixture.jobs(&["show", &ids[0]]).await;
    assert_eq!(shown["id"], ids[0]);
    assert_eq!(shown["kind"], "create_message");
    assert_eq!(shown["state"], "dead");
    assert_eq!(shown["target"], format!("{}:{}:2", chat.app, chat.number));
    assert_eq!(shown["tries"], 1);
    assert!(!text(&shown["error"]).is_empty(), "{shown}");
    assert!(text(&shown["payload"]).contains("unstorable"), "{shown}");
    let shown = fixture.confab(&["jobs", "show", &ids[0]]).await;
    assert!(shown.stdout.contains("unstorable"), "{shown:#?}");

    fixture.take_everything().await;
    assert_eq!(fixture.jobs(&["retry", &ids[0]]).await["retried"], 1);
    eventually_eq("it is found", vec![2], async || {
        api.search_numbers(&chat, "unstorable").await
    })
    .await;
    assert_eq!(fixture.dead(0).await, [""; 0]);
    let again = fixture.confab(&["jobs", "retry", &ids[0]]).await;
    expect_refusal(&again, "there is no job");
}

#[apply(on_each_backend!)]
async fn retry_all_retries_every_dead_letter(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    fixture.reject_unstorable_messages().await;
    for _ in 0..5 {
        api.create_message(&chat, "unstorable").await;
    }
    let ids = fixture.dead(5).await;
    assert!(ids.is_sorted(), "{ids:?}");
    let page = ["list", "--limit", "2", "--after", &ids[1]];
    let page = fixture.jobs(&page).await;
    assert_eq!(page["jobs"].as_array().expect("a list").len(), 2);
    assert_eq!(page["jobs"][0]["id"], ids[2]);
    let none = fixture.jobs(&["list", "--kind", "update_message"]).await;
    assert_eq!(none["jobs"], Value::Array(vec![]));

    fixture.take_everything().await;
    assert_eq!(fixture.jobs(&["retry", "--all"]).await["retried"], 5);
    eventually_eq("they are found", vec![1, 2, 3, 4, 5], async || {
        api.search_numbers(&chat, "unstorable").await
    })
    .await;
    assert_eq!(fixture.jobs(&["retry", "--all"]).await["retried"], 0);
}

#[apply(on_each_backend!)]
async fn discarded_dead_letter_is_gone_and_frees_capacity(fixture: &Fixture) {
    let api = fixture
        .start_with(&[ONE_TRY[0], ("CONFAB_LIMITS__DEAD_LETTERS", "1")])
        .await;
    let chat = api.new_app_and_chat().await;
    fixture.reject_unstorable_messages().await;
    api.create_message(&chat, "unstorable").await;
    let ids = fixture.dead(1).await;
    assert_eq!(api.text(&chat, 1).await, "unstorable");
    let path = format!("{chat}/message");
    let body = serde_json::json!({"message": "hello"});
    api.post(&path, &body).await.expect_status(503);

    assert_eq!(fixture.jobs(&["kill", &ids[0]]).await["killed"], 1);
    api.get(chat.message(1)).await.expect_status(404);
    assert_eq!(api.create_message(&chat, "hello").await, 2);
    let again = fixture.confab(&["jobs", "kill", &ids[0]]).await;
    expect_refusal(&again, "there is no job");
    assert_eq!(fixture.jobs(&["list"]).await["jobs"], Value::Array(vec![]));
}

#[apply(on_each_backend!)]
async fn only_dead_letters_can_be_discarded(fixture: &Fixture) {
    let api = idle(fixture).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    let waiting = ["list", "--state", "waiting", "--kind", "create_message"];
    let id = text(&fixture.jobs(&waiting).await["jobs"][0]["id"]);
    let killed = fixture.confab(&["jobs", "kill", &id]).await;
    expect_refusal(&killed, "is waiting: only dead letters can be discarded");
    let retried = fixture.confab(&["jobs", "retry", &id]).await;
    expect_refusal(&retried, "is waiting: only dead letters and delayed");
    for command in ["show", "retry", "kill"] {
        let unknown = fixture.confab(&["jobs", command, "0000010000ffffff"]).await;
        expect_refusal(&unknown, "there is no job 0000010000ffffff");
        let no_id = fixture.confab(&["jobs", command, "7"]).await;
        no_id.expect_code(2);
        assert!(no_id.stderr.contains("16 hexadecimal"), "{no_id:#?}");
    }
    for wrong in [
        &["list", "--limit", "0"][..],
        &["list", "--limit", "1001"],
        &["list", "--state", "lost"],
        &["pause", "everything"],
        &["retry"],
        &["retry", &id, "--all"],
    ] {
        let refused = fixture.confab(&[&["jobs"], wrong].concat()).await;
        refused.expect_code(2);
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
}

/// Tells whether `create_message` is paused, according to the command.
pub async fn is_paused(fixture: &Fixture) -> bool {
    fixture.jobs(&["stats"]).await["kinds"][2]["paused"] == true
}

/// A process that accepts writes but stores nothing.
pub async fn idle(fixture: &Fixture) -> Process {
    fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await
}

#[apply(on_each_backend!)]
async fn jobs_of_a_paused_kind_wait_until_it_is_resumed(fixture: &Fixture) {
    let processes = fixture.start_all().await;
    let api = &processes[0];
    let chat = api.new_app_and_chat().await;
    fixture.jobs(&["pause", "create_message"]).await;
    // Jobs claimed before the pause are stored; this one comes later.
    for process in &processes {
        let number = process.create_message(&chat, "hello").await;
        assert_eq!(process.text(&chat, number).await, "hello");
    }
    let stats = fixture.jobs(&["stats"]).await;
    assert_eq!(stats["kinds"][2]["kind"], "create_message");
    assert_eq!(stats["kinds"][2]["paused"], true);
    assert_eq!(stats["kinds"][1]["paused"], false);
    let shown = fixture.confab(&["jobs", "stats"]).await;
    assert!(shown.stdout.contains("paused"), "{shown:#?}");
    // Other kinds continue; when they are stored, these would have been stored too.
    let other = api.new_app_and_chat().await;
    let row = format!("SELECT COUNT(*) FROM chats WHERE app = '{}'", other.app);
    eventually_eq("another chat", Some(1), async || {
        fixture.stored_number(&row).await
    })
    .await;
    assert_eq!(fixture.stored_messages(&chat).await, []);

    fixture.jobs(&["resume", "create_message"]).await;
    let numbers: Vec<u64> = (1..).take(processes.len()).collect();
    eventually_eq("they are found", numbers, async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    let stats = fixture.jobs(&["stats"]).await;
    assert_eq!(stats["kinds"][2]["paused"], false);
}
