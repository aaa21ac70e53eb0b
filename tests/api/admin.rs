//! The listener for operators: who may come in, and the administration of jobs as JSON.

use serde_json::{Value, json};

use crate::{
    jobs::{ONE_TRY, idle},
    support::{Answer, Client, Process, Site, on_each_backing, settles},
};

const TOKEN: &str = "correct-horse-battery-staple";

/// What is the same however often it is asked.
fn at_rest(stats: &Value) -> Value {
    let mut stats = stats.clone();
    for kind in stats["kinds"].as_array_mut().expect("a list") {
        kind["oldest_ms"].take();
    }
    stats
}

async fn post(admin: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    admin.send("POST", path, headers, "").await
}

/// Whether a kind is paused, as the command says.
async fn is_paused(site: &Site) -> bool {
    site.jobs(&["stats"]).await["kinds"][2]["paused"] == true
}

async fn it_answers_what_the_command_prints(site: &Site) {
    let api = idle(site).await;
    let chat = api.new_app_and_chat().await;
    for text in ["one", "two", "three"] {
        api.say(&chat, text).await;
    }
    let admin = api.admin();
    let answer = admin.get("/api/jobs/stats").await;
    answer.expect_status(200);
    let printed = site.jobs(&["stats"]).await;
    assert_eq!(at_rest(&answer.json()), at_rest(&printed));
    assert_eq!(printed["kinds"][2]["waiting"], 3);

    let answer = admin
        .get("/api/jobs?state=waiting&kind=create_message&limit=2")
        .await;
    let printed = site.jobs(&["list", "--state", "waiting", "--kind", "create_message"]);
    let printed = printed.await["jobs"].as_array().expect("a list").clone();
    assert_eq!(answer.json()["jobs"], json!(printed[..2]));
    let last = printed[1]["id"].as_str().expect("an id");
    let rest = format!("/api/jobs?state=waiting&kind=create_message&after={last}");
    assert_eq!(admin.get(rest).await.json()["jobs"], json!(printed[2..]));
    let answer = admin.get(format!("/api/jobs/{last}")).await;
    assert_eq!(answer.json(), site.jobs(&["show", last]).await);

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

    // None of it is where everybody comes.
    for path in ["/", "/api/jobs", "/api/jobs/stats", "/jobs"] {
        api.get(path).await.expect_error(404, "Not found");
    }
}

async fn dead_letters_are_retried_and_killed(site: &Site) {
    let api = site.start_with(&ONE_TRY).await;
    let admin = api.admin();
    let chat = api.new_app_and_chat().await;
    site.refuse_what_is_spoilt().await;
    for _ in 0..3 {
        api.say(&chat, "spoilt").await;
    }
    let ids = site.dead(3).await;
    let killed = post(admin, &format!("/api/jobs/{}/kill", ids[1]), &[]).await;
    killed.expect(200, r#"{"killed":1}"#);
    site.take_everything().await;
    let retried = post(admin, &format!("/api/jobs/{}/retry", ids[0]), &[]).await;
    retried.expect(200, r#"{"retried":1}"#);
    let retried = post(admin, "/api/jobs/retry", &[]).await;
    retried.expect(200, r#"{"retried":1}"#);
    settles("two are found", vec![1, 3], async || {
        api.found(&chat, "spoilt").await
    })
    .await;

    let paused = post(admin, "/api/kinds/create_message/pause", &[]).await;
    paused.expect(200, r#"{"kind":"create_message","paused":true}"#);
    assert!(is_paused(site).await);
    post(admin, "/api/kinds/create_message/resume", &[])
        .await
        .expect_status(200);
    assert!(!is_paused(site).await);
    post(admin, "/api/kinds/everything/pause", &[])
        .await
        .expect_status(404);
}

async fn other_sites_neither_read_nor_change_anything(site: &Site) {
    // Also with a token, as browsers send it along.
    let api = site.start_with(&[("CONFAB_ADMIN__TOKEN", TOKEN)]).await;
    let admin = api.admin();
    let bearer = format!("Bearer {TOKEN}");
    let with = |name: &'static str, value: &str| {
        [("authorization", bearer.clone()), (name, value.to_owned())]
    };
    let ask = async |method: &str, path: &str, headers: &[(&'static str, String)]| {
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
        let refused = ask("GET", "/api/jobs/stats", &with("host", host)).await;
        refused.expect_status(403);
    }
    let own = format!("127.0.0.1:{}", admin.port);
    for host in ["localhost", "localhost:7", "[::1]:7", &own] {
        let answer = ask("GET", "/api/jobs/stats", &with("host", host)).await;
        answer.expect_status(200);
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
        ask("POST", pause, &with(name, value))
            .await
            .expect_error(403, "Rejected: sent by another site");
    }
    assert!(!is_paused(site).await);
    let page = ask("POST", pause, &with("origin", &format!("http://{own}"))).await;
    page.expect_status(200);
    assert!(is_paused(site).await);
}

async fn whoever_has_no_token_is_turned_away(site: &Site) {
    let api = start_for_all(site).await;
    let admin = api.admin();
    // "operator:…" and "operator:wrong" in base 64.
    let basic = "Basic b3BlcmF0b3I6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";
    let bearer = format!("Bearer {TOKEN}");
    for right in [basic, &bearer] {
        // Whatever name the machine is called by.
        let headers = [("authorization", right), ("host", "confab.example")];
        let answer = admin.send("GET", "/api/jobs/stats", &headers, "").await;
        answer.expect_status(200);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
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
            let answer = admin
                .send("GET", path, &[("authorization", wrong)], "")
                .await;
            answer.expect_status(401);
            assert!(
                answer
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

/// A process whose admin listener others can reach.
async fn start_for_all(site: &Site) -> Process {
    let settings = [
        ("CONFAB_ADMIN__HOST", "0.0.0.0"),
        ("CONFAB_ADMIN__TOKEN", TOKEN),
    ];
    site.start_with(&settings).await
}

async fn without_a_token_only_this_machine_is_listened_to(site: &Site) {
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
        let finished = site.confab_with(&["serve"], &settings).await;
        finished.expect_code(1);
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:#?}");
        assert!(finished.stderr.contains("admin.token"), "{finished:#?}");
        assert!(
            token.is_empty() || !finished.stderr.contains(token),
            "{finished:#?}"
        );
    }
}

on_each_backing!(
    it_answers_what_the_command_prints,
    dead_letters_are_retried_and_killed,
    other_sites_neither_read_nor_change_anything,
    whoever_has_no_token_is_turned_away,
    without_a_token_only_this_machine_is_listened_to,
);
