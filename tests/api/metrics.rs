//! The exported metrics, and that alert rules and dashboard use no others.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    jobs::ONE_TRY,
    support::{
        Fixture, Process, Proxy, apply, eventually, eventually_eq, on_each_backend, on_services,
    },
};

/// The exported metrics of a process, as text.
async fn scrape(api: &Process) -> String {
    let response = api.admin().get("/metrics").await;
    response.expect_status(200);
    let kind = response.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    response.body
}

/// The value of the series with this name and these labels.
fn value(scraped: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let line = scraped.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels
                .iter()
                .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    });
    line?.rsplit(' ').next()?.parse().ok()
}

/// A name, labels, and the expected value.
type Series<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Waits until a series has a value.
async fn wait_for_value(api: &Process, name: &str, labels: &[(&str, &str)], expected: f64) {
    eventually(&format!("{name} {labels:?} is {expected}"), async || {
        let scraped = scrape(api).await;
        match value(&scraped, name, labels) {
            Some(found) if (found - expected).abs() < f64::EPSILON => Ok(()),
            _ => Err(scraped),
        }
    })
    .await;
}

/// Every name of a Confab or process metric in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("confab_") || word.starts_with("process_"))
        .collect()
}

fn deploy_file(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file);
    fs::read_to_string(path).expect("a file of this repository")
}

#[apply(on_each_backend!)]
async fn metrics_report_jobs_requests_and_stores(fixture: &Fixture) {
    let api = fixture.start_with(&ONE_TRY).await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    api.update_message(&chat, 1, "hello again").await;
    api.get("/no/such/path").await.expect_status(404);
    api.get("/metrics").await.expect_status(404);
    eventually("it is found", async || {
        match &*api.search_numbers(&chat, "again").await {
            [1] => Ok(()),
            found => Err(found.to_vec()),
        }
    })
    .await;
    fixture.reject_unstorable_messages().await;
    api.create_message(&chat, "unstorable").await;

    let of = |kind| [("kind", kind)];
    let message = of("create_message");
    wait_for_value(&api, "confab_jobs_dead", &message, 1.0).await;
    let series: [Series<'_>; 12] = [
        ("confab_jobs_dead_total", &message[..], 1.0),
        ("confab_jobs_failed_total", &message, 1.0),
        ("confab_jobs_retried_total", &message, 0.0),
        ("confab_jobs_done_total", &message, 1.0),
        ("confab_jobs_done_total", &of("update_message"), 1.0),
        ("confab_jobs_recovered_total", &message, 0.0),
        ("confab_jobs_waiting", &message, 0.0),
        ("confab_index_lag_messages", &[], 0.0),
        ("confab_store_up", &[("store", "search")], 1.0),
        (
            "confab_worker_restarts_total",
            &[("worker", "recover")],
            0.0,
        ),
        (
            "confab_http_request_duration_seconds_count",
            &[
                ("route", "/application/{app}/chat/{chat}/message"),
                ("method", "POST"),
                ("status", "201"),
            ],
            2.0,
        ),
        (
            "confab_http_request_duration_seconds_count",
            &[("route", "unmatched"), ("status", "404")],
            2.0,
        ),
    ];
    for (name, labels, expected) in series {
        wait_for_value(&api, name, labels, expected).await;
    }

    let rules = deploy_file("prometheus/confab.rules.yml");
    let dashboard = deploy_file("grafana/confab.json");
    let _: Value = serde_json::from_str(&dashboard).expect("JSON");
    let alerts = rules.matches("- alert:").count();
    assert!(alerts > 0 && names(&rules).len() > 5 && names(&dashboard).len() > 10);
    for annotation in ["summary:", "description:"] {
        assert_eq!(rules.matches(annotation).count(), alerts, "{annotation}");
    }
    eventually("all that is watched is measured", async || {
        let scraped = scrape(&api).await;
        let samples = scraped.lines().filter(|line| !line.starts_with('#'));
        let measured: BTreeSet<&str> = samples
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let watched = names(&rules).into_iter().chain(names(&dashboard));
        let missing: Vec<&str> = watched.filter(|name| !measured.contains(name)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(json!(missing).to_string())
        }
    })
    .await;
}

/// The index lag on the dashboard.
async fn shown_lag(api: &Process) -> String {
    let page = api.admin().get("/").await.body;
    let tile = page.split_once("Index lag</span>").map(|(_, tile)| tile);
    let value = tile.and_then(|tile| tile.split(['<', '>']).nth(2));
    value.unwrap_or_else(|| panic!("no lag in {page}")).into()
}

#[apply(on_services!)]
async fn dashboard_and_metrics_show_the_index_lag(fixture: &Fixture) {
    let mut proxy = Proxy::refusing(&fixture.services().elasticsearch_url);
    proxy.open().await;
    let url = proxy.url();
    let api = fixture
        .start_with(&[("CONFAB_SERVICES__ELASTICSEARCH_URL", &url)])
        .await;
    let chat = api.new_app_and_chat().await;
    let shown = async |lag: &str| {
        eventually_eq("the lag", lag.to_owned(), async || shown_lag(&api).await).await;
    };
    shown("0").await;
    proxy.cut().await;
    for number in 1..=3 {
        api.create_message(&chat, "hello").await;
        // Each is a change of its own.
        eventually_eq("the changes that wait", Some(number), async || {
            fixture.stored_number("SELECT COUNT(*) FROM outbox").await
        })
        .await;
    }
    let range = "SELECT CAST(MAX(id) - MIN(id) + 1 AS SIGNED) FROM outbox";
    let range = fixture.stored_number(range).await.expect("three rows");
    assert!((3..100).contains(&range), "{range}");
    shown(&range.to_string()).await;
    wait_for_value(&api, "confab_index_lag_messages", &[], 3.0).await;
    proxy.open().await;
    shown("0").await;
    wait_for_value(&api, "confab_index_lag_messages", &[], 0.0).await;
}
