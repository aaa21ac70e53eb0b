//! The operator's commands on jobs, beside a running process.

use serde_json::Value;

use crate::support::{Backing, Finished, Process, Site, eventually, on_each_backing, settles};

/// A failure makes a dead letter at once.
pub const ONE_TRY: [(&str, &str); 1] = [("CONFAB_WORKERS__TRIES", "1")];

impl Site {
    /// Makes the database refuse messages that say "spoilt".
    pub async fn refuse_what_is_spoilt(&self) {
        self.execute(match self.backing() {
            Backing::Services => {
                "ALTER TABLE messages ADD CONSTRAINT poison CHECK (text <> 'spoilt')"
            }
            // In the words of an error that says that it is the data's fault.
            Backing::Embedded => {
                "CREATE TRIGGER poison BEFORE INSERT ON messages WHEN NEW.text = 'spoilt' \
                 BEGIN SELECT RAISE(ABORT, 'string or blob too big'); END"
            }
        })
        .await;
    }

    /// Makes it take them again.
    pub async fn take_everything(&self) {
        self.execute(match self.backing() {
            Backing::Services => "ALTER TABLE messages DROP CHECK poison",
            Backing::Embedded => "DROP TRIGGER poison",
        })
        .await;
    }

    /// Runs a command on jobs, which must succeed, and reads what it prints.
    pub async fn jobs(&self, arguments: &[&str]) -> Value {
        let finished = self
            .confab(&[&["jobs", "--json"], arguments].concat())
            .await;
        finished.expect_code(0);
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }

    /// Waits until there are so many dead letters, and gives their ids.
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

/// Fails unless the command was refused in these words.
#[track_caller]
fn expect_refusal(finished: &Finished, words: &str) {
    finished.expect_code(1);
    assert!(finished.stderr.contains(words), "{finished:#?}");
}

async fn a_dead_letter_is_seen_and_stored_once_its_cause_is_gone(site: &Site) {
    let api = site.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "before").await;
    site.refuse_what_is_spoilt().await;
    api.say(&chat, "spoilt").await;
    api.say(&chat, "after").await;
    let ids = site.dead(1).await;

    // It harms nobody else, and can be read.
    let others = vec![(1, "before".to_owned()), (3, "after".to_owned())];
    settles("the others", others, async || {
        site.stored_messages(&chat).await
    })
    .await;
    assert_eq!(api.text(&chat, 2).await, "spoilt");

    let listed = site.confab(&["jobs", "list"]).await;
    listed.expect_code(0);
    assert!(listed.stdout.contains(&ids[0]), "{listed:#?}");
    assert!(!listed.stdout.contains("spoilt"), "{listed:#?}");
    let shown = site.jobs(&["show", &ids[0]]).await;
    assert_eq!(shown["id"], ids[0]);
    assert_eq!(shown["kind"], "create_message");
    assert_eq!(shown["state"], "dead");
    assert_eq!(shown["target"], format!("{}:{}:2", chat.app, chat.number));
    assert_eq!(shown["tries"], 1);
    assert!(!text(&shown["error"]).is_empty(), "{shown}");
    assert!(text(&shown["payload"]).contains("spoilt"), "{shown}");
    let shown = site.confab(&["jobs", "show", &ids[0]]).await;
    assert!(shown.stdout.contains("spoilt"), "{shown:#?}");

    site.take_everything().await;
    assert_eq!(site.jobs(&["retry", &ids[0]]).await["retried"], 1);
    settles("it is found", vec![2], async || {
        api.found(&chat, "spoilt").await
    })
    .await;
    assert_eq!(site.dead(0).await, [""; 0]);
    let again = site.confab(&["jobs", "retry", &ids[0]]).await;
    expect_refusal(&again, "there is no job");
}

async fn all_dead_letters_are_retried_together(site: &Site) {
    let api = site.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    site.refuse_what_is_spoilt().await;
    for _ in 0..5 {
        api.say(&chat, "spoilt").await;
    }
    let ids = site.dead(5).await;
    assert!(ids.is_sorted(), "{ids:?}");
    let page = ["list", "--limit", "2", "--after", &ids[1]];
    let page = site.jobs(&page).await;
    assert_eq!(page["jobs"].as_array().expect("a list").len(), 2);
    assert_eq!(page["jobs"][0]["id"], ids[2]);
    let none = site.jobs(&["list", "--kind", "update_message"]).await;
    assert_eq!(none["jobs"], Value::Array(vec![]));

    site.take_everything().await;
    assert_eq!(site.jobs(&["retry", "--all"]).await["retried"], 5);
    settles("they are found", vec![1, 2, 3, 4, 5], async || {
        api.found(&chat, "spoilt").await
    })
    .await;
    assert_eq!(site.jobs(&["retry", "--all"]).await["retried"], 0);
}

async fn a_killed_dead_letter_is_gone_and_makes_room(site: &Site) {
    let api = site
        .start_with(&[ONE_TRY[0], ("CONFAB_LIMITS__DEAD_LETTERS", "1")])
        .await;
    let chat = api.new_app_and_chat().await;
    site.refuse_what_is_spoilt().await;
    api.say(&chat, "spoilt").await;
    let ids = site.dead(1).await;
    assert_eq!(api.text(&chat, 1).await, "spoilt");
    let path = format!("{chat}/message");
    let body = serde_json::json!({"message": "hello"});
    api.post(&path, &body).await.expect_status(503);

    assert_eq!(site.jobs(&["kill", &ids[0]]).await["killed"], 1);
    api.get(chat.message(1)).await.expect_status(404);
    assert_eq!(api.say(&chat, "hello").await, 2);
    let again = site.confab(&["jobs", "kill", &ids[0]]).await;
    expect_refusal(&again, "there is no job");
    assert_eq!(site.jobs(&["list"]).await["jobs"], Value::Array(vec![]));
}

async fn only_dead_letters_are_killed(site: &Site) {
    let api = idle(site).await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    let waiting = ["list", "--state", "waiting", "--kind", "create_message"];
    let id = text(&site.jobs(&waiting).await["jobs"][0]["id"]);
    let killed = site.confab(&["jobs", "kill", &id]).await;
    expect_refusal(&killed, "is waiting: only dead letters can be discarded");
    let retried = site.confab(&["jobs", "retry", &id]).await;
    expect_refusal(&retried, "is waiting: only dead letters and delayed");
    for command in ["show", "retry", "kill"] {
        let unknown = site.confab(&["jobs", command, "0000010000ffffff"]).await;
        expect_refusal(&unknown, "there is no job 0000010000ffffff");
        let no_id = site.confab(&["jobs", command, "7"]).await;
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
        let refused = site.confab(&[&["jobs"], wrong].concat()).await;
        refused.expect_code(2);
    }
    assert_eq!(api.text(&chat, 1).await, "hello");
}

/// A process that accepts and stores nothing.
pub async fn idle(site: &Site) -> Process {
    site.start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await
}

async fn a_paused_kind_waits_until_it_is_resumed(site: &Site) {
    let processes = site.start_all().await;
    let api = &processes[0];
    let chat = api.new_app_and_chat().await;
    site.jobs(&["pause", "create_message"]).await;
    // Whatever was claimed before the pause is stored; this comes later.
    for process in &processes {
        let number = process.say(&chat, "hello").await;
        assert_eq!(process.text(&chat, number).await, "hello");
    }
    let stats = site.jobs(&["stats"]).await;
    assert_eq!(stats["kinds"][2]["kind"], "create_message");
    assert_eq!(stats["kinds"][2]["paused"], true);
    assert_eq!(stats["kinds"][1]["paused"], false);
    let shown = site.confab(&["jobs", "stats"]).await;
    assert!(shown.stdout.contains("paused"), "{shown:#?}");
    // Other kinds go on; by then these would long have been stored too.
    let other = api.new_app_and_chat().await;
    let row = format!("SELECT COUNT(*) FROM chats WHERE app = '{}'", other.app);
    settles("another chat", Some(1), async || {
        site.stored_number(&row).await
    })
    .await;
    assert_eq!(site.stored_messages(&chat).await, []);

    site.jobs(&["resume", "create_message"]).await;
    let numbers: Vec<u64> = (1..).take(processes.len()).collect();
    settles("they are found", numbers, async || {
        api.found(&chat, "hello").await
    })
    .await;
    let stats = site.jobs(&["stats"]).await;
    assert_eq!(stats["kinds"][2]["paused"], false);
}

on_each_backing!(
    a_dead_letter_is_seen_and_stored_once_its_cause_is_gone,
    all_dead_letters_are_retried_together,
    a_killed_dead_letter_is_gone_and_makes_room,
    only_dead_letters_are_killed,
    a_paused_kind_waits_until_it_is_resumed,
);
