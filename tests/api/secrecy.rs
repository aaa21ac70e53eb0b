//! Credentials are in no log line, metric, error, redirect or page; key IDs and users are in the access log and in jobs.

use serde_json::{Value, json};

use crate::support::{
    App, Fixture, Process, apply,
    credentials::{claims, key_id, new_key, sign},
    eventually, on_each_backend,
};

/// Starts the program in required mode at the most talkative level.
async fn start(fixture: &Fixture) -> Process {
    fixture
        .start_guarded(&[
            ("CONFAB_LOG__LEVEL", "trace"),
            ("CONFAB_LOG__FORMAT", "json"),
            ("CONFAB_WORKERS__TRIES", "1"),
        ])
        .await
}

/// Waits for a log line that `is_wanted`.
async fn line(api: &Process, is_wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("a log line", async || {
        let output = api.output();
        let lines = output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.into_iter().find(|line| is_wanted(line)).ok_or(output)
    })
    .await
}

/// The part of a credential that no other text has: of a key the random part, of a token the claims and the signature.
fn secrets(credential: &str) -> Vec<String> {
    match credential.strip_prefix("cfb_") {
        Some(key) => vec![key[13..].to_owned()],
        None => credential.split('.').skip(1).map(str::to_owned).collect(),
    }
}

#[apply(on_each_backend!)]
async fn credentials_are_nowhere_in_outputs(fixture: &Fixture) {
    let api = start(fixture).await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let key = api.new_key(&app, &json!({"name": "backend"})).await;
    let revoked = api.new_key(&app, &json!({})).await;
    let path = format!("{app}/keys/{}", key_id(&revoked));
    api.send("DELETE", path, &[], "").await.expect_status(200);
    let owner = api.with_credential(&key);
    let issued = owner
        .post(
            format!("{app}/token"),
            &json!({"user": "alice", "chats": "*"}),
        )
        .await;
    let mut expired = claims(&app, "alice");
    expired["exp"] = json!(1);
    let first = std::fs::read_to_string(&fixture.guarded()[1].1).expect("a key");
    let credentials = [
        first,
        key.clone(),
        revoked,
        new_key(),
        issued.text_field("token"),
        sign(&key, &claims(&app, "alice")),
        sign(&key, &expired),
        sign(&new_key(), &claims(&app, "alice")),
    ];
    let mut shown = Vec::new();
    for credential in &credentials {
        let client = api.with_credential(credential);
        let basic = format!("Basic {credential}");
        let twice = format!("Bearer {credential} {credential}");
        for response in [
            client.get(&app).await,
            client.get(format!("{app}?access_token={credential}")).await,
            client.get(format!("/{credential}")).await,
            client.get(format!("{app}/keys/{credential}")).await,
            client.get("/docs").await,
            client
                .post(format!("{chat}/message"), &json!({"message": "hello"}))
                .await,
            client
                .post(format!("{app}/keys"), &json!({"name": 1}))
                .await,
            client
                .send("GET", &app, &[("authorization", &basic)], "")
                .await,
            client
                .send("GET", &app, &[("authorization", &twice)], "")
                .await,
            client.get(format!("{chat}/search?q={credential}")).await,
            client.get(format!("{app}/keys")).await,
        ] {
            shown.push(format!("{:?} {}", response.headers, response.body));
        }
    }
    for path in ["/metrics", "/", "/jobs", "/api/jobs", "/keys"] {
        shown.push(api.admin().get(path).await.body);
    }
    shown.push(fixture.confab(&["keys", "list", "--json"]).await.stdout);
    shown.push(fixture.confab(&["doctor"]).await.stdout);
    shown.push(api.output());
    for secret in credentials
        .iter()
        .flat_map(|credential| secrets(credential))
    {
        assert!(secret.len() > 20, "{secret}");
        for text in &shown {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }
}

#[apply(on_each_backend!)]
async fn access_log_and_dead_letters_name_key_and_user(fixture: &Fixture) {
    let api = start(fixture).await;
    let app: App = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let key = api.new_key(&app, &json!({})).await;
    let user = "a \"user\"\n";
    let token = sign(&key, &claims(&app, user));
    api.create_message(&chat, "before").await;
    eventually("the message is stored", async || {
        let stored = fixture.stored_messages(&chat).await;
        match stored.len() {
            1 => Ok(()),
            _ => Err(stored),
        }
    })
    .await;
    fixture.reject_unstorable_messages().await;
    for (credential, user) in [(&key, None), (&token, Some(user))] {
        let client = api.with_credential(credential);
        let body = json!({"message": "unstorable"});
        let response = client.post(format!("{chat}/message"), &body).await;
        response.expect_status(201);
        let id = response.header("x-request-id").expect("an ID").to_owned();
        let has = |line: &Value, name: &str, value: Value| {
            line.get(name).cloned().unwrap_or_default() == value
        };
        let names = |line: &Value| {
            has(line, "request", json!(id))
                && has(line, "key", json!(key_id(&key)))
                && has(line, "user", json!(user))
        };
        line(&api, |line| {
            line["message"] == "Request completed" && names(line)
        })
        .await;
        let failed = line(&api, |line| line["level"] == "ERROR" && names(line)).await;
        let job = failed["job"].as_str().expect("the job's ID");
        let shown = fixture.confab(&["jobs", "show", job, "--json"]).await;
        shown.expect_code(0);
        let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        assert!(
            has(&shown, "key", json!(key_id(&key))) && has(&shown, "user", json!(user)),
            "{shown}"
        );
        let page = api.admin().get(format!("/jobs/{job}")).await;
        assert!(page.body.contains(key_id(&key)), "{}", page.body);
    }
    // A refused credential names nobody.
    let refused = api.with_credential(&new_key()).get(&app).await;
    let id = refused.header("x-request-id").expect("an ID").to_owned();
    let line = line(&api, |line| {
        line["request"] == json!(id) && line["status"] == 401
    })
    .await;
    assert_eq!((line.get("key"), line.get("user")), (None, None));
}
