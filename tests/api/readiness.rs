//! `GET /readyz`: readiness, and the reasons if the process is not ready.

use serde_json::Value;

use crate::support::{
    BackendKind, Client, Fixture, Proxy, apply, eventually, on_each_backend, on_services,
};

/// Waits until readiness has this status and status code; returns the response.
pub async fn wait_for_readiness(api: &Client, code: u16, status: &str) -> Value {
    eventually(status, async || {
        let response = api.get("/readyz").await;
        let report = response.json();
        if response.status == code && report["status"] == status {
            Ok(report)
        } else {
            Err(response)
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
    ];
    let workers = match fixture.backend_kind() {
        BackendKind::Services => [&of_both[..], &of_services].concat(),
        BackendKind::Embedded => of_both.to_vec(),
    };
    for worker in &workers {
        assert_eq!(
            entry_named(&report, "workers", worker)["restarts"],
            0,
            "{report:#}"
        );
    }
    assert_eq!(
        report["workers"].as_array().map(Vec::len),
        Some(workers.len())
    );
    // Without workers, expired leases are still recovered.
    let idle = [("CONFAB_WORKERS__ENABLED", "false")];
    drop(api);
    let api = fixture.start_with(&idle).await;
    let report = wait_for_readiness(&api, 200, "ready").await;
    entry_named(&report, "workers", "recover");
    assert_eq!(report["workers"].as_array().map(Vec::len), Some(1));
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
        proxy.open().await;
        wait_for_readiness(&api, 200, "ready").await;
    }
}
