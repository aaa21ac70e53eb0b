//! The log: request IDs, redaction, and levels.

use serde_json::{Value, json};

use crate::{
    shutdown::exit_code,
    support::{
        Fixture, Process, Proxy, Response, apply, eventually, on_each_backend, on_embedded,
        on_services,
    },
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Waits for a line with all of these members.
async fn line(api: &Process, members: &Value) -> Value {
    let members = members.as_object().expect("an object");
    eventually(&format!("a line with {members:?}"), async || {
        let output = api.output();
        let lines = output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut fitting =
            lines.filter(|line| members.iter().all(|(name, value)| line[name] == *value));
        fitting.next().ok_or(output)
    })
    .await
}

#[apply(on_each_backend!)]
async fn request_id_is_the_same_in_response_log_and_job(fixture: &Fixture) {
    let settings = [
        ("CONFAB_LOG__FORMAT", "json"),
        ("CONFAB_LOG__LEVEL", "info"),
        ("CONFAB_WORKERS__TRIES", "1"),
    ];
    let api = fixture.start_with(&settings).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "before").await;
    eventually("the message is stored", async || {
        let stored = fixture.stored_messages(&chat).await;
        if stored.len() == 1 {
            Ok(())
        } else {
            Err(stored)
        }
    })
    .await;
    fixture.reject_unstorable_messages().await;

    // The ID of a proxy is adopted, and recorded up to the dead letter.
    let given = "proxy/7f:\"\\x";
    let headers = [
        ("x-request-id", given),
        ("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01")),
    ];
    let path = format!("{chat}/message");
    let body = json!({"message": "unstorable"}).to_string();
    let response = api.send("POST", &path, &headers, body).await;
    response.expect_status(201);
    assert_eq!(response.header("x-request-id"), Some(given));
    let entry = line(
        &api,
        &json!({"request": given, "message": "Request completed"}),
    )
    .await;
    assert_eq!(entry["method"], "POST", "{entry}");
    assert_eq!(entry["status"], 201, "{entry}");
    assert_eq!(entry["trace_id"], TRACE, "{entry}");
    let route = "/application/{app}/chat/{chat}/message";
    assert_eq!(entry["route"], route, "{entry}");
    assert!(entry["latency_ms"].as_f64() > Some(0.0), "{entry}");
    let failed = line(&api, &json!({"request": given, "level": "ERROR"})).await;
    let job = failed["job"].as_str().expect("the job's id");
    let shown = fixture.confab(&["jobs", "show", job, "--json"]).await;
    shown.expect_code(0);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("one JSON object");
    assert_eq!(shown["request"], given, "{shown}");
    assert_eq!(shown["state"], "dead", "{shown}");

    // Without an ID, or with an invalid one, each request gets a new ID.
    let too_long = "x".repeat(129);
    let ids = [
        api.get("/up").await,
        api.get("/no/such/path").await,
        api.send("GET", &chat, &[("x-request-id", &too_long)], "")
            .await,
        api.raw("DELETE", "/application", "").await,
    ]
    .map(|response: Response| {
        let id = response.header("x-request-id").expect("an id").to_owned();
        assert!(id.len() == 16 && id != given, "{id}");
        id
    });
    for (id, (route, status)) in ids.iter().zip([
        ("/up", 200),
        ("unmatched", 404),
        ("/application/{app}/chat/{chat}", 200),
        ("/application", 405),
    ]) {
        line(
            &api,
            &json!({"request": id, "route": route, "status": status}),
        )
        .await;
    }
}

/// Texts that no line may contain.
const SECRETS: [&str; 6] = [
    "Ophelia",
    "rosemary",
    "thyme",
    "columbine",
    "fennel",
    "violets",
];

/// Sends secrets in every kind of request; the responses do not matter.
async fn send_every_request(api: &Process) {
    let token = [("authorization", "Bearer fennel"), ("cookie", "id=fennel")];
    let json = ("content-type", "application/json");
    let user = json!({"username": "Ophelia"});
    let app = api.post("/application", &user).await;
    let app = match app.status {
        201 => app.text_field("Application"),
        _ => "00000000".to_owned(),
    };
    api.send("POST", format!("/application/{app}/chat"), &token, "")
        .await;
    let chat = format!("/application/{app}/chat/1");
    let said = json!({"message": "rosemary"});
    api.post(format!("{chat}/message"), &said).await;
    api.put(format!("{chat}/message/1"), &json!({"message": "thyme"}))
        .await;
    for path in [
        format!("{chat}/message/1"),
        format!("{chat}/messages?limit=violets"),
        format!("{chat}/search?q=columbine"),
        format!("{chat}/search/columbine"),
        format!("{chat}/search/rosemary"),
        "/violets?token=violets".to_owned(),
    ] {
        api.get(path).await;
    }
    for body in [
        r#"{"message": "rosemary"#,
        r#"{"message": {"rosemary": 1}}"#,
    ] {
        let headers = [json, token[0]];
        api.send("POST", format!("{chat}/message"), &headers, body)
            .await;
    }
}

#[track_caller]
fn expect_no_secret(api: &Process) {
    let output = api.output();
    for secret in SECRETS {
        assert!(!output.contains(secret), "{secret}: {output}");
    }
}

const TALKATIVE: [(&str, &str); 3] = [
    ("CONFAB_LOG__FORMAT", "json"),
    ("CONFAB_LOG__LEVEL", "trace"),
    ("CONFAB_WORKERS__TRIES", "1"),
];

#[apply(on_each_backend!)]
async fn message_texts_are_not_logged_at_trace_level(fixture: &Fixture) {
    let api = fixture.start_with(&TALKATIVE).await;
    let chat = api.new_app_and_chat().await;
    send_every_request(&api).await;
    // A message that the database rejects, and the resulting log lines.
    fixture.reject_unstorable_messages().await;
    api.create_message(&chat, "unstorable").await;
    let failed = line(&api, &json!({"level": "ERROR"})).await;
    assert!(failed["reason"].is_string(), "{failed}");
    expect_no_secret(&api);
    assert!(!api.output().contains("unstorable"), "{}", api.output());
}

#[apply(on_services!)]
async fn message_texts_are_not_logged_when_a_store_fails(fixture: &Fixture) {
    let services = fixture.services();
    let mut proxies = [
        ("CONFAB_SERVICES__REDIS_URL", &services.redis_url),
        ("CONFAB_SERVICES__MYSQL_URL", &services.mysql_url),
        (
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            &services.elasticsearch_url,
        ),
    ]
    .map(|(setting, url)| (setting, Proxy::refusing(url)));
    let urls = proxies.each_ref().map(|(_, proxy)| proxy.url());
    let mut settings = TALKATIVE.to_vec();
    for ((setting, proxy), url) in proxies.iter_mut().zip(&urls) {
        proxy.open().await;
        settings.push((setting, url));
    }
    let api = fixture.start_with(&settings).await;
    for (_, proxy) in &mut proxies {
        proxy.cut().await;
        send_every_request(&api).await;
        line(
            &api,
            &json!({"level": "WARN", "message": "Worker paused after an error; it retries until the error is gone"}),
        )
        .await;
        proxy.open().await;
        api.wait_until_ready().await;
    }
    expect_no_secret(&api);
}

#[apply(on_embedded!)]
async fn signals_change_the_log_level_and_shutdown_flushes_the_log(fixture: &Fixture) {
    let settings = [("CONFAB_LOG__FORMAT", "json")];
    let mut api = fixture.start_with(&settings).await;
    let send_request = async |id: &str| {
        let response = api.send("GET", "/up", &[("x-request-id", id)], "").await;
        response.expect_status(200);
    };
    send_request("at-first").await;
    api.signal("USR1");
    line(&api, &json!({"from": "warn", "to": "info"})).await;
    send_request("with-more").await;
    line(&api, &json!({"request": "with-more", "status": 200})).await;
    api.signal("USR2");
    line(&api, &json!({"from": "info", "to": "warn"})).await;
    send_request("with-less").await;
    api.signal("USR1");
    eventually("it is said once more", async || {
        let output = api.output();
        let times = output.matches(r#""from":"warn","to":"info""#).count();
        if times == 2 { Ok(()) } else { Err(output) }
    })
    .await;
    api.signal("TERM");
    assert_eq!(exit_code(&mut api).await, Some(0));
    line(
        &api,
        &json!({"level": "INFO", "message": "Shutdown complete"}),
    )
    .await;
    let output = api.output();
    for silent in ["at-first", "with-less"] {
        assert!(!output.contains(silent), "{silent}: {output}");
    }
}
