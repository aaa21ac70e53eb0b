//! `GET /readyz`: readiness, and on the admin listener the reasons if the process is not ready.

use std::time::Instant;

use serde_json::Value;

use crate::support::{
    BackendKind, Fixture, Process, Proxy, Response, apply, concurrently, eventually,
    on_each_backend, on_services,
};

/// Waits until readiness has this status and status code on both listeners; returns the details, which only the admin
/// listener has.
pub async fn wait_for_readiness(api: &Process, code: u16, status: &str) -> Value {
    eventually(status, async || {
        let is_as_wanted =
            |response: &Response| response.status == code && response.json()["status"] == status;
        for listener in [&api.client(), api.admin()] {
            let response = listener.get("/readyz").await;
            if !is_as_wanted(&response) {
                return Err(response);
            }
            if listener.port == api.admin().port {
                return Ok(response.json());
            }
        }
        unreachable!("the admin listener comes last")
    })
    .await
}

/// Waits until the process is ready and lists this number of workers, which start after a migration; returns the details.
async fn wait_for_workers(api: &Process, count: usize) -> Value {
    eventually("the workers have started", async || {
        let report = wait_for_readiness(api, 200, "ready").await;
        match report["workers"].as_array().map(Vec::len) {
            Some(started) if started == count => Ok(report),
            _ => Err(report),
        }
    })
    .await
}

/// One of the stores or workers in a response.
pub fn entry_named<'a>(report: &'a Value, list: &str, name: &str) -> &'a Value {
    let items = report[list].as_array().expect("a list");
    let found = items.iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[apply(on_each_backend!)]
async fn readiness_lists_each_store_and_each_worker(fixture: &Fixture) {
    let api = fixture.start().await;
    let report = wait_for_readiness(&api, 200, "ready").await;
    for store in ["queue", "records", "search"] {
        let store = entry_named(&report, "stores", store);
        assert!(store["latency_ms"].is_f64(), "{report:#}");
        assert!(store["error"].is_null(), "{report:#}");
    }
    let of_both = [
        "create_application",
        "create_chat",
        "create_message",
        "update_message",
        "reconcile",
        "recover",
    ];
    // The embedded backend writes index and counts together with the rows.
    let of_services = [
        "update_chats_count",
        "update_messages_count",
        "index_messages",
        "watch_redis",
    ];
    let workers = match fixture.backend_kind() {
        BackendKind::Services => [&of_both[..], &of_services].concat(),
        BackendKind::Embedded => of_both.to_vec(),
    };
    let report = wait_for_workers(&api, workers.len()).await;
    for worker in &workers {
        assert_eq!(
            entry_named(&report, "workers", worker)["restarts"],
            0,
            "{report:#}"
        );
    }
    // Without workers, expired leases are still recovered, and Redis is watched.
    let idle = [("CONFAB_WORKERS__ENABLED", "false")];
    drop(api);
    let api = fixture.start_with(&idle).await;
    let still = match fixture.backend_kind() {
        BackendKind::Services => 2,
        BackendKind::Embedded => 1,
    };
    let report = wait_for_workers(&api, still).await;
    entry_named(&report, "workers", "recover");
}

#[apply(on_services!)]
async fn only_failures_that_block_writes_make_the_process_unready(fixture: &Fixture) {
    let services = fixture.services();
    for (url, setting, store, code, status) in [
        (
            &services.redis_url,
            "CONFAB_SERVICES__REDIS_URL",
            "queue",
            503,
            "unavailable",
        ),
        (
            &services.mysql_url,
            "CONFAB_SERVICES__MYSQL_URL",
            "records",
            503,
            "unavailable",
        ),
        (
            &services.elasticsearch_url,
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            "search",
            200,
            "degraded",
        ),
    ] {
        let mut proxy = Proxy::refusing(url);
        proxy.open().await;
        let api = fixture.start_with(&[(setting, &proxy.url())]).await;
        wait_for_readiness(&api, 200, "ready").await;
        proxy.cut().await;
        let report = wait_for_readiness(&api, code, status).await;
        for name in ["queue", "records", "search"] {
            let has_error = entry_named(&report, "stores", name)["error"].is_string();
            assert_eq!(has_error, name == store, "{report:#}");
        }
        // Anyone may read this: it has a word for each store and nothing else.
        let word = |name| {
            if name == store {
                "unavailable"
            } else {
                "ready"
            }
        };
        let [queue, records, search] = ["queue", "records", "search"].map(word);
        api.get("/readyz").await.expect(
            code,
            &format!(
                r#"{{"status":"{status}","stores":[{{"name":"queue","status":"{queue}"}},{{"name":"records","status":"{records}"}},{{"name":"search","status":"{search}"}}]}}"#
            ),
        );
        proxy.open().await;
        wait_for_readiness(&api, 200, "ready").await;
    }
}

/// Number of probes of a store so far, by whatever reason.
async fn probes(api: &Process, store: &str) -> u64 {
    let metrics = api.admin().get("/metrics").await;
    let counts = metrics.body.lines().filter_map(|line| {
        let is_it = line.starts_with("confab_store_call_duration_seconds_count{")
            && line.contains(&format!("store=\"{store}\""))
            && line.contains("call=\"ping\"");
        let count = is_it.then(|| line.rsplit_once(' '))??.1;
        count.parse::<u64>().ok()
    });
    counts.sum()
}

#[apply(on_each_backend!)]
async fn readiness_requests_share_their_probes(fixture: &Fixture) {
    const REQUESTS: usize = 500;
    let api = fixture.start().await;
    wait_for_readiness(&api, 200, "ready").await;
    let began = Instant::now();
    let before = probes(&api, "queue").await;
    let responses = concurrently(REQUESTS, |_| {
        let client = api.client();
        async move { client.get("/readyz").await }
    })
    .await;
    assert!(responses.iter().all(|response| response.status == 200));
    let after = probes(&api, "queue").await;
    // At most one a second for readiness and for metrics, and one every two seconds for the dashboard's charts.
    let seconds = began.elapsed().as_secs();
    let probed = after - before;
    assert!(probed <= 3 * seconds + 5, "{probed} probes in {seconds} s");
    assert!(before > 0);
}
