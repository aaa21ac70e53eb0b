//! Keys: the commands, beside a running process as well, and what processes make of them.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    App, Browser, CommandOutput, Fixture, Process, Proxy, apply, eventually, eventually_eq,
    on_each_backend, on_each_backend_in_browser, on_embedded, on_services,
};

const REQUIRED: (&str, &str) = ("CONFAB_AUTH__MODE", "required");

/// Time after which a revocation holds in every process.
const HOLDS_AFTER: Duration = Duration::from_secs(1);

/// Runs `confab keys` with `--json`.
async fn keys(fixture: &Fixture, arguments: &[&str]) -> Value {
    let line = [&["keys"], arguments, &["--json"]].concat();
    let finished = fixture.confab(&line).await;
    finished.expect_code(0);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

/// Creates a key and returns its ID and its text.
pub async fn create(fixture: &Fixture, arguments: &[&str]) -> (String, String) {
    let created = keys(fixture, &[&["create"], arguments].concat()).await;
    let text = |name: &str| created[name].as_str().expect("a text").to_owned();
    (text("keyID"), text("key"))
}

/// Starts a process that lets in only requests with a credential, and waits until it is ready.
pub async fn start_required(fixture: &Fixture) -> Process {
    start_required_with(fixture, &[]).await
}

/// The same with further settings.
async fn start_required_with(fixture: &Fixture, settings: &[(&str, &str)]) -> Process {
    let api = fixture.spawn(&[&[REQUIRED], settings].concat()).await;
    eventually_eq("the process is ready", 200, async || {
        api.admin().get("/readyz").await.status
    })
    .await;
    api
}

/// Status of a read with this key.
async fn status(api: &Process, key: &str) -> u16 {
    let credential = format!("Bearer {key}");
    let headers = [("authorization", credential.as_str())];
    let path = "/application/00000000";
    api.send("GET", path, &headers, "").await.status
}

#[track_caller]
fn expect_failure(finished: &CommandOutput, words: &[&str]) {
    assert_ne!(finished.code, Some(0), "{finished:#?}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?}: {finished:#?}");
    }
}

#[apply(on_each_backend!)]
async fn keys_are_managed_by_commands_beside_a_running_process(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await.id;
    assert_eq!(keys(fixture, &["list"]).await, json!({"keys": []}));
    let text = fixture.confab(&["keys", "list"]).await;
    assert_eq!(text.stdout, "none\n");

    let created = fixture.confab(&["keys", "create"]).await;
    created.expect_code(0);
    let key = created.stdout.trim();
    assert!(key.starts_with("cfb_") && key.len() == 66, "{created:#?}");
    let arguments = [
        "create",
        "--application",
        &app,
        "--name",
        "Zoë's 🗝",
        "--read-only",
        "--expires",
        "90d",
    ];
    let mut other = keys(fixture, &arguments).await;
    let secret = other.as_object_mut().and_then(|key| key.remove("key"));
    let secret = secret.expect("a key").as_str().expect("a text").to_owned();
    let id = secret[4..16].to_owned();
    assert_eq!(
        (&other["keyID"], &other["appID"], &other["name"]),
        (&json!(id), &json!(app), &json!("Zoë's 🗝"))
    );
    assert_eq!(
        (&other["readOnly"], &other["lastUsedAt"]),
        (&json!(true), &Value::Null)
    );
    let all = keys(fixture, &["list"]).await;
    assert_eq!(all["keys"][0]["keyID"], key[4..16]);
    assert_eq!(all["keys"][0]["appID"], Value::Null);
    assert_eq!(all["keys"][1], other);
    let of_app = keys(fixture, &["list", "--application", &app]).await;
    assert_eq!(of_app, json!({"keys": [other]}));
    let next = keys(fixture, &["list", "--limit", "1", "--after", &key[4..16]]).await;
    assert_eq!(next, of_app);
    let text = fixture.confab(&["keys", "list"]).await;
    for word in [&key[4..16], &id, &app, "(all)", "Zoë's 🗝", "never"] {
        assert!(text.stdout.contains(word), "no {word:?}: {text:#?}");
    }

    let expired = keys(fixture, &["expire", &id, "--in", "25h"]).await;
    assert!(expired["expiresAt"].as_str() < other["expiresAt"].as_str());
    let revoked = fixture.confab(&["keys", "revoke", &id]).await;
    assert_eq!(revoked.stdout, format!("{id} is revoked\n"));
    assert_eq!(
        keys(fixture, &["list", "--application", &app]).await,
        json!({"keys": []})
    );
    for command in [
        &["keys", "revoke", &id][..],
        &["keys", "expire", &id, "--in", "1s"],
    ] {
        expect_failure(&fixture.confab(command).await, &["Key not found"]);
    }
    for command in [
        &["keys", "create", "--application", "00000000"][..],
        &["keys", "create", "--application", "all"],
        &["keys", "create", "--expires", "soon"],
        &["keys", "create", "--name", &"x".repeat(256)],
        &["keys", "revoke", "all"],
        &["keys", "expire", &id],
    ] {
        expect_failure(&fixture.confab(command).await, &[]);
    }
    let limit = [("CONFAB_LIMITS__KEYS", "1")];
    let full = fixture.confab_with(&["keys", "create"], &limit).await;
    expect_failure(&full, &["There are already 1 keys"]);
    // The texts are stored nowhere.
    let hash =
        "SELECT COUNT(*) FROM access_keys WHERE hash LIKE 'cfb%' OR signing_secret LIKE 'cfb%'";
    assert_eq!(fixture.stored_number(hash).await, Some(0));
}

#[apply(on_embedded!)]
async fn generated_keys_need_no_store(fixture: &Fixture) {
    let settings = [
        ("CONFAB_BACKING", "services"),
        (
            "CONFAB_SERVICES__MYSQL_URL",
            "mysql://root@127.0.0.1:1/none",
        ),
    ];
    let finished = fixture.confab_with(&["keys", "generate"], &settings).await;
    finished.expect_code(0);
    assert_eq!(finished.stdout.len(), 67, "{finished:#?}");
    assert!(!fixture.file().exists());
}

#[apply(on_embedded!)]
async fn start_on_other_addresses_needs_a_mode(fixture: &Fixture) {
    let host = ("CONFAB_SERVER__HOST", "127.0.0.1,0.0.0.0");
    for command in ["serve", "doctor"] {
        let finished = fixture.confab_with(&[command], &[host]).await;
        assert_ne!(finished.code, Some(0), "{finished:#?}");
        let output = format!("{}{}", finished.stdout, finished.stderr);
        for word in ["auth.mode", "\"open\"", "\"required\"", "\"0.0.0.0\""] {
            assert!(output.contains(word), "no {word:?}: {finished:#?}");
        }
    }
    let host = ("CONFAB_SERVER__HOST", "0.0.0.0");
    for mode in ["open", "REQUIRED"] {
        fixture.spawn(&[host, ("CONFAB_AUTH__MODE", mode)]).await;
    }
    let unknown = [("CONFAB_AUTH__MODE", "closed")];
    let finished = fixture.confab_with(&["serve"], &unknown).await;
    expect_failure(&finished, &["CONFAB_AUTH__MODE", "open or required"]);
}

#[apply(on_each_backend!)]
async fn doctor_warns_if_others_reach_an_open_api(fixture: &Fixture) {
    fixture.confab(&["migrate"]).await.expect_code(0);
    let others = ("CONFAB_SERVER__HOST", "0.0.0.0");
    let proxies = ("CONFAB_LIMITS__PROXIES", "1");
    let open = ("CONFAB_AUTH__MODE", "open");
    for (settings, severity) in [
        (&[][..], "ok"),
        (&[open], "ok"),
        (&[open, proxies], "warning"),
        (&[proxies], "warning"),
        (&[open, others], "warning"),
        (&[REQUIRED, others, proxies], "ok"),
    ] {
        let finished = fixture.confab_with(&["doctor", "--json"], settings).await;
        let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
        let checks = report["checks"].as_array().expect("a list");
        let access = checks.iter().find(|check| check["check"] == "access");
        let access = access.expect("the check");
        assert_eq!(access["verdict"], severity, "{settings:?}: {access}");
    }
}

#[apply(on_each_backend!)]
async fn first_key_of_a_file_is_accepted_until_it_is_revoked(fixture: &Fixture) {
    let generated = fixture.confab(&["keys", "generate"]).await.stdout;
    let key = generated.trim();
    let file = fixture.folder().join("first-key");
    fs::write(&file, &generated).expect("the folder takes files");
    let path = file.to_str().expect("a path in UTF-8");
    let settings = [REQUIRED, ("CONFAB_AUTH__FIRST_KEY_FILE", path)];
    for _ in 0..2 {
        let api = fixture.spawn(&settings).await;
        eventually_eq("the key is accepted", 404, async || status(&api, key).await).await;
    }
    let listed = keys(fixture, &["list"]).await;
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["keys"][0]["keyID"], key[4..16]);
    keys(fixture, &["revoke", &key[4..16]]).await;
    let api = fixture.spawn(&settings).await;
    eventually_eq("the key is refused", 401, async || status(&api, key).await).await;
    eventually("the log says so", async || {
        let log = api.output();
        match log.contains("was revoked") && !log.contains(&key[17..]) {
            true => Ok(()),
            false => Err(log),
        }
    })
    .await;
    drop(api);

    // Files that hold something else stop the start, and are not shown.
    let wrong = format!("{}x", key);
    for text in [&wrong, "", "cfb_", &format!("{key}\n{key}\n")] {
        fs::write(&file, text).expect("the folder takes files");
        let finished = fixture.confab_with(&["serve"], &settings).await;
        expect_failure(&finished, &["auth.first_key_file", path, "keys generate"]);
        assert!(!finished.stderr.contains(&key[17..]), "{finished:#?}");
    }
    fs::remove_file(&file).expect("the file");
    let finished = fixture.confab_with(&["serve"], &settings).await;
    expect_failure(&finished, &["auth.first_key_file", path, "cannot be read"]);
}

#[apply(on_each_backend!)]
async fn applications_are_listed_by_a_command(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let mut created: Vec<App> = Vec::new();
    for _ in 0..3 {
        created.push(api.new_app().await);
    }
    api.new_chat(&created[1]).await;
    let list = async |arguments: &[&str]| -> Value {
        let line = [&["applications", "list", "--json"], arguments].concat();
        let finished = fixture.confab(&line).await;
        finished.expect_code(0);
        serde_json::from_str(&finished.stdout).expect("one JSON object")
    };
    let ids = |list: &Value| -> Vec<String> {
        let items = list["applications"].as_array().expect("a list").iter();
        items
            .map(|item| item["appID"].as_str().expect("an ID").to_owned())
            .collect()
    };
    let all: Vec<String> = created.iter().map(|app| app.id.clone()).collect();
    let listed = list(&[]).await;
    assert_eq!((ids(&listed), &listed["next"]), (all.clone(), &Value::Null));
    let second = &listed["applications"][1];
    assert_eq!(
        (&second["chatsCount"], &second["username"]),
        (&json!(1), &json!("Shetewi"))
    );
    let first = list(&["--limit", "2"]).await;
    assert_eq!(ids(&first), all[..2]);
    let next = first["next"].as_str().expect("a cursor");
    assert_eq!(ids(&list(&["--after", next]).await), all[2..]);
    let text = fixture
        .confab(&["applications", "list", "--limit", "2"])
        .await;
    assert!(
        text.stdout.contains(&format!("--after {next}")),
        "{text:#?}"
    );
    let wrong = fixture
        .confab(&["applications", "list", "--after", "now"])
        .await;
    expect_failure(&wrong, &["24 hexadecimal digits"]);
}

#[apply(on_each_backend!)]
async fn keys_that_a_command_revokes_are_refused_within_a_second(fixture: &Fixture) {
    let mut processes = Vec::new();
    for _ in 0..fixture.process_count() {
        processes.push(start_required(fixture).await);
    }
    let mut times = Vec::new();
    for _ in 0..10 {
        let (id, key) = create(fixture, &[]).await;
        for api in &processes {
            // Known at once.
            assert_eq!(status(api, &key).await, 404);
        }
        keys(fixture, &["revoke", &id]).await;
        let revoked = Instant::now();
        for api in &processes {
            loop {
                let began = revoked.elapsed();
                let status = status(api, &key).await;
                if status == 401 {
                    break;
                }
                assert_eq!(status, 404);
                assert!(
                    began < HOLDS_AFTER,
                    "accepted {began:?} after the revocation"
                );
            }
        }
        times.push(revoked.elapsed());
    }
    println!("refused after {:?} at most", times.iter().max());
}

#[apply(on_each_backend!)]
async fn suspended_process_refuses_a_revoked_key_at_once(fixture: &Fixture) {
    let api = start_required(fixture).await;
    let (id, key) = create(fixture, &[]).await;
    assert_eq!(status(&api, &key).await, 404);
    api.signal("STOP");
    keys(fixture, &["revoke", &id]).await;
    // The condition is the age of what the process knows.
    tokio::time::sleep(Duration::from_secs(10)).await;
    api.signal("CONT");
    // Calls that were under way may have failed by their timeouts meanwhile: then the process cannot tell, and says so.
    eventually("the key is refused", async || {
        match status(&api, &key).await {
            401 => Ok(()),
            status => {
                assert_eq!(status, 503, "not refused");
                Err(status)
            }
        }
    })
    .await;
}

#[apply(on_services!)]
async fn read_of_revocations_that_a_suspension_interrupts_is_no_outage(fixture: &Fixture) {
    let mut proxy = Proxy::refusing(&fixture.services().mysql_url);
    proxy.open().await;
    let url = proxy.url();
    let api = start_required_with(fixture, &[("CONFAB_SERVICES__MYSQL_URL", &url)]).await;
    let (id, key) = create(fixture, &[]).await;
    assert_eq!(status(&api, &key).await, 404);
    // Reads begin twice a second, and fail after a second: one is under way.
    proxy.hang();
    tokio::time::sleep(Duration::from_millis(700)).await;
    api.signal("STOP");
    proxy.resume();
    keys(fixture, &["revoke", &id]).await;
    // The condition is the age of what the process knows.
    tokio::time::sleep(Duration::from_secs(5)).await;
    api.signal("CONT");
    assert_eq!(status(&api, &key).await, 401);
}

#[apply(on_each_backend_in_browser!)]
async fn dashboard_lists_keys_without_their_secrets(fixture: &Fixture) {
    let api = fixture.start().await;
    let (id, key) = create(fixture, &["--name", "<b>backend</b>", "--read-only"]).await;
    let page = |path| format!("http://127.0.0.1:{}{path}", api.admin().port);
    let mut browser = Browser::start().await;
    browser.open(page("/")).await;
    let says = "document.body.innerText.includes('Every request is let in')";
    assert_eq!(browser.eval(says).await, true);
    browser.open(page("/keys")).await;
    let row = format!("document.querySelector('[data-key=\"{id}\"]').innerText");
    let row = browser.eval(&row).await;
    let row = row.as_str().expect("a text");
    for word in [&id, "<b>backend</b>", "read", "never"] {
        assert!(row.contains(word), "no {word:?}: {row}");
    }
    let html = browser.eval("document.documentElement.outerHTML").await;
    assert!(!html.as_str().expect("a page").contains(&key[17..]));
    api.admin().get("/keys?after=%00").await.expect_status(400);
}
