//! `GET /readyz`: whether requests should be sent here, and what is wrong if not.

use serde_json::Value;

use crate::support::{Backing, Client, Proxy, Site, eventually, on_each_backing, on_services};

/// Waits until readiness says this, with this status code; gives the whole answer.
pub async fn becomes(api: &Client, code: u16, status: &str) -> Value {
    eventually(status, async || {
        let answer = api.get("/readyz").await;
        let told = answer.json();
        if answer.status == code && told["status"] == status {
            Ok(told)
        } else {
            Err(answer)
        }
    })
    .await
}

/// One of the stores or workers in an answer.
pub fn named<'a>(told: &'a Value, list: &str, name: &str) -> &'a Value {
    let items = told[list].as_array().expect("a list");
    let found = items.iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {told:#}"))
}

async fn each_store_and_each_worker_is_told_by_name(site: &Site) {
    let api = site.start().await;
    let told = becomes(&api, 200, "ready").await;
    for store in ["queue", "records", "search"] {
        let store = named(&told, "stores", store);
        assert!(store["latency_ms"].is_f64(), "{told:#}");
        assert!(store["error"].is_null(), "{told:#}");
    }
    let of_both = [
        "create_application",
        "create_chat",
        "create_message",
        "update_message",
        "reconcile",
        "recover",
    ];
    // The embedded backend writes index and counts with the rows.
    let of_services = [
        "update_chats_count",
        "update_messages_count",
        "index_messages",
    ];
    let workers = match site.backing() {
        Backing::Services => [&of_both[..], &of_services].concat(),
        Backing::Embedded => of_both.to_vec(),
    };
    for worker in &workers {
        assert_eq!(named(&told, "workers", worker)["restarts"], 0, "{told:#}");
    }
    assert_eq!(
        told["workers"].as_array().map(Vec::len),
        Some(workers.len())
    );
    // Where nothing is worked on, dead claimers are still seen to.
    let idle = [("CONFAB_WORKERS__ENABLED", "false")];
    drop(api);
    let api = site.start_with(&idle).await;
    let told = becomes(&api, 200, "ready").await;
    named(&told, "workers", "recover");
    assert_eq!(told["workers"].as_array().map(Vec::len), Some(1));
}

async fn only_what_refuses_writes_makes_it_not_ready(site: &Site) {
    let services = site.services();
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
        let api = site.start_with(&[(setting, &proxy.url())]).await;
        becomes(&api, 200, "ready").await;
        proxy.cut().await;
        let told = becomes(&api, code, status).await;
        for name in ["queue", "records", "search"] {
            let is_told = named(&told, "stores", name)["error"].is_string();
            assert_eq!(is_told, name == store, "{told:#}");
        }
        proxy.open().await;
        becomes(&api, 200, "ready").await;
    }
}

on_each_backing!(each_store_and_each_worker_is_told_by_name);

on_services!(only_what_refuses_writes_makes_it_not_ready);
