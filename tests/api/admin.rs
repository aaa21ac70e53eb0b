//! The admin listener: access control, and the administration of jobs as JSON.

use serde_json::{Value, json};

use crate::{
    jobs::{ONE_TRY, idle, is_paused},
    support::{Client, Fixture, Process, Response, apply, eventually_eq, on_each_backend},
};

const TOKEN: &str = "correct-horse-battery-staple";

/// Fields that are the same in every response.
fn at_rest(stats: &Value) -> Value {
    let mut stats = stats.clone();
    for kind in stats["kinds"].as_array_mut().expect("a list") {
        kind["oldest_ms"].take();
    }
    stats
}

async fn post(admin: &Client, path: &str, headers: &[(&str, &str)]) -> Response {
    admin.send("POST", path, headers, "").await
}

#[apply(on_each_backend!)]
async fn admin_api_returns_what_the_commands_print(fixture: &Fixture) {
    let api = idle(fixture).await;
    let chat = api.new_app_and_chat().await;
    for text in ["one", "two", "three"] {
        api.create_message(&chat, text).await;
    }
    let admin = api.admin();
    let response = admin.get("/api/jobs/stats").await;
    response.expect_status(200);
    let printed = fixture.jobs(&["stats"]).await;
    assert_eq!(at_rest(&response.json()), at_rest(&printed));
    assert_eq!(printed["kinds"][2]["waiting"], 3);

    let response = admin
        .get("/api/jobs?state=waiting&kind=create_message&limit=2")
        .await;
    let printed = fixture.jobs(&["list", "--state", "waiting", "--kind", "create_message"]);
    let printed = printed.await["jobs"].as_array().expect("a list").clone();
    assert_eq!(response.json()["jobs"], json!(printed[..2]));
    let last = printed[1]["id"].as_str().expect("an id");
    let next_page = format!("/api/jobs?state=waiting&kind=create_message&after={last}");
    assert_eq!(
        admin.get(next_page).await.json()["jobs"],
        json!(printed[2..])
    );
    let response = admin.get(format!("/api/jobs/{last}")).await;
    assert_eq!(response.json(), fixture.jobs(&["show", last]).await);

    for path in [
        "/api/jobs?state=lost",
        "/api/jobs?kind=x",
        "/api/jobs?limit=0",
        "/api/jobs?after=7",
    ] {
        admin.get(path).await.expect_status(400);
    }
    for path in [
        "/api/jobs/7",
        "/api/jobs/0000010000ffffff",
        "/api/nothing",
        "/nothing",
    ] {
        admin.get(path).await.expect_status(404);
    }
    post(admin, &format!("/api/jobs/{last}/kill"), &[])
        .await
        .expect_error(
            409,
            &format!("job {last} is waiting: only dead letters can be discarded"),
        );
    admin.get("/api/jobs/retry").await.expect_status(404);

    // None of it is served on the public port.
    for path in ["/", "/api/jobs", "/api/jobs/stats", "/jobs"] {
        api.get(path).await.expect_error(404, "Not found");
    }
}

#[apply(on_each_backend!)]
async fn dead_letters_are_retried_and_discarded_over_http(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let admin = api.admin();
    let chat = api.new_app_and_chat().await;
    fixture.reject_unstorable_messages().await;
    for _ in 0..3 {
        api.create_message(&chat, "unstorable").await;
    }
    let ids = fixture.dead(3).await;
    let killed = post(admin, &format!("/api/jobs/{}/kill", ids[1]), &[]).await;
    killed.expect(200, r#"{"killed":1}"#);
    fixture.take_everything().await;
    let retried = post(admin, &format!("/api/jobs/{}/retry", ids[0]), &[]).await;
    retried.expect(200, r#"{"retried":1}"#);
    let retried = post(admin, "/api/jobs/retry", &[]).await;
    retried.expect(200, r#"{"retried":1}"#);
    eventually_eq("two are found", vec![1, 3], async || {
        api.search_numbers(&chat, "unstorable").await
    })
    .await;

    let paused = post(admin, "/api/kinds/create_message/pause", &[]).await;
    paused.expect(200, r#"{"kind":"create_message","paused":true}"#);
    assert!(is_paused(fixture).await);
    post(admin, "/api/kinds/create_message/resume", &[])
        .await
        .expect_status(200);
    assert!(!is_paused(fixture).await);
    post(admin, "/api/kinds/everything/pause", &[])
        .await
        .expect_status(404);
}

#[apply(on_each_backend!)]
async fn cross_site_requests_are_rejected(fixture: &Fixture) {
    // Also with a token, as browsers send it along.
    let api = fixture.start_with(&[("CONFAB_ADMIN__TOKEN", TOKEN)]).await;
    let admin = api.admin();
    let bearer = format!("Bearer {TOKEN}");
    let with = |name: &'static str, value: &str| {
        [("authorization", bearer.clone()), (name, value.to_owned())]
    };
    let send_request = async |method: &str, path: &str, headers: &[(&'static str, String)]| {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        admin.send(method, path, &headers, "").await
    };
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "[::2]:1",
        "192.0.2.1",
    ] {
        let refused = send_request("GET", "/api/jobs/stats", &with("host", host)).await;
        refused.expect_status(403);
    }
    let own = format!("127.0.0.1:{}", admin.port);
    for host in ["localhost", "localhost:7", "[::1]:7", &own] {
        let response = send_request("GET", "/api/jobs/stats", &with("host", host)).await;
        response.expect_status(200);
    }
    let pause = "/api/kinds/create_message/pause";
    let neighbour = format!("http://127.0.0.1:{}", api.port);
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", &neighbour),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        send_request("POST", pause, &with(name, value))
            .await
            .expect_error(403, "Rejected: sent by another site");
    }
    assert!(!is_paused(fixture).await);
    // The dashboard behind a proxy that rewrites Host.
    let mut proxied = with("sec-fetch-site", "same-origin").to_vec();
    proxied.push(("origin", "https://ops.example".to_owned()));
    let page = send_request("POST", "/api/kinds/create_message/resume", &proxied).await;
    page.expect_status(200);
    let page = send_request("POST", pause, &with("origin", &format!("http://{own}"))).await;
    page.expect_status(200);
    assert!(is_paused(fixture).await);
}

#[apply(on_each_backend!)]
async fn requests_without_a_token_are_rejected(fixture: &Fixture) {
    let api = start_for_all(fixture).await;
    let admin = api.admin();
    // "operator:…" and "operator:wrong" in base 64.
    let basic = "Basic b3BlcmF0b3I6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";
    let bearer = format!("Bearer {TOKEN}");
    for right in [basic, &bearer] {
        // The host name of the machine does not matter.
        let headers = [("authorization", right), ("host", "confab.example")];
        let response = admin.send("GET", "/api/jobs/stats", &headers, "").await;
        response.expect_status(200);
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
    let half = format!("Bearer {}", &TOKEN[1..]);
    for wrong in [
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        &half,
        "Basic b3BlcmF0b3I6d3Jvbmc=",
        "Basic ?",
    ] {
        for path in ["/", "/api/jobs/stats", "/nothing"] {
            let response = admin
                .send("GET", path, &[("authorization", wrong)], "")
                .await;
            response.expect_status(401);
            assert!(
                response
                    .header("www-authenticate")
                    .is_some_and(|value| value.starts_with("Basic "))
            );
        }
    }
    admin
        .get("/api/jobs/stats")
        .await
        .expect_error(401, "The admin token is required");
}

/// A process whose admin listener accepts connections from other machines.
async fn start_for_all(fixture: &Fixture) -> Process {
    let settings = [
        ("CONFAB_ADMIN__HOST", "0.0.0.0"),
        ("CONFAB_ADMIN__TOKEN", TOKEN),
    ];
    fixture.start_with(&settings).await
}

#[apply(on_each_backend!)]
async fn admin_listener_without_a_token_accepts_only_loopback(fixture: &Fixture) {
    for (host, token) in [
        ("0.0.0.0", ""),
        ("::", ""),
        ("confab.example", ""),
        ("0.0.0.0", "too-short"),
        ("127.0.0.1", "with a space in it"),
    ] {
        let settings = [
            ("CONFAB_ADMIN__HOST", host),
            ("CONFAB_ADMIN__PORT", "3002"),
            ("CONFAB_ADMIN__TOKEN", token),
        ];
        let finished = fixture.confab_with(&["serve"], &settings).await;
        finished.expect_code(1);
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:#?}");
        assert!(finished.stderr.contains("admin.token"), "{finished:#?}");
        assert!(
            token.is_empty() || !finished.stderr.contains(token),
            "{finished:#?}"
        );
    }
}
