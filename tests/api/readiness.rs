//! `GET /readyz`: readiness, and on the admin listener the reasons if the process is not ready.

use std::{
    fs::{self, File},
    io::Write as _,
    time::Instant,
};

use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    BackendKind, Fixture, Process, Proxy, Response, apply, concurrently, eventually, eventually_eq,
    on_each_backend, on_embedded, on_services,
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
        "delete_message",
        "delete_chat",
        "delete_application",
        "erase",
        "reconcile",
        "recover",
    ];
    // The embedded backend writes index and counts together with the rows.
    let of_services = [
        "update_chats_count",
        "update_messages_count",
        "index_messages",
        "watch_redis",
        "evict_idle",
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

/// Whether the metrics say that the queue's store is up.
async fn queue_is_up(api: &Process) -> bool {
    let metrics = api.admin().get("/metrics").await.body;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("confab_store_up{store=\"queue\"}"));
    let line = line.unwrap_or_else(|| panic!("no such metric in:\n{metrics}"));
    line.ends_with(" 1")
}

/// Fails unless readiness and metrics say that writes fail, while they do.
async fn expect_unready_while_writes_fail(api: &Process) {
    let body = json!({"username": "me"});
    api.post("/application", &body).await.expect_status(503);
    wait_for_readiness(api, 503, "unavailable").await;
    eventually_eq("the queue is up", false, async || queue_is_up(api).await).await;
    api.post("/application", &body).await.expect_status(503);
}

/// Fails unless readiness and metrics say that writes succeed, and they do.
async fn expect_ready_after_it(api: &Process) {
    wait_for_readiness(api, 200, "ready").await;
    eventually_eq("the queue is up", true, async || queue_is_up(api).await).await;
    api.new_app().await;
}

#[apply(on_embedded!)]
async fn held_write_lock_makes_the_process_unready(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_EMBEDDED__TIMEOUT_MS", "300")])
        .await;
    expect_ready_after_it(&api).await;
    // SQLite's own lock, as a shell that is left open in a transaction holds it.
    let mut connection = fixture.sqlite();
    connection
        .batch_execute("BEGIN IMMEDIATE")
        .expect("the lock");
    expect_unready_while_writes_fail(&api).await;
    drop(connection);
    expect_ready_after_it(&api).await;
    // The lock by which processes take turns, as a suspended command holds it.
    let turn = fixture.file().with_extension("sqlite3.locks").join("turn");
    let lock = File::options().write(true).open(turn).expect("a file");
    lock.lock().expect("the lock");
    expect_unready_while_writes_fail(&api).await;
    drop(lock);
    expect_ready_after_it(&api).await;
}

#[apply(on_embedded!)]
async fn full_disk_makes_the_process_unready(fixture: &Fixture) {
    let folder = fixture.file().parent().expect("a folder").to_owned();
    fs::create_dir_all(&folder).expect("a folder");
    let folder = folder.to_str().expect("a path in UTF-8");
    // The process sees its folder through a small mount in a user namespace, so that no root is needed.
    let mount = r#"mount -t tmpfs -o size=32m none "$0" && exec "$@""#;
    let namespaces = ["unshare", "--user", "--map-root-user", "--mount"];
    let wrapper = [&namespaces[..], &["sh", "-c", mount, folder]].concat();
    let mut api = fixture.launch_wrapped(&wrapper, &["serve"], &[]);
    assert!(api.wait_until_up().await, "{}", api.output());
    api.wait_until_ready().await;
    expect_ready_after_it(&api).await;
    let ballast = format!("/proc/{}/root{folder}/ballast", api.id());
    let mut file = File::create(&ballast).expect("a file");
    for size in [64 << 10, 4 << 10, 1] {
        let bytes = vec![0; size];
        while file.write_all(&bytes).is_ok() {}
    }
    expect_unready_while_writes_fail(&api).await;
    fs::remove_file(&ballast).expect("the ballast is there");
    drop(file);
    expect_ready_after_it(&api).await;
}

#[apply(on_services!)]
async fn mysql_that_refuses_writes_makes_the_process_unready(fixture: &Fixture) {
    // It migrates the database.
    fixture.start().await.kill();
    let mut url = Url::parse(&fixture.services().mysql_url).expect("a URL");
    let database = url.path().trim_start_matches('/').to_owned();
    let user = format!("reader_{:08x}", rand::random::<u32>());
    fixture
        .execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'"))
        .await;
    fixture
        .execute(&format!("GRANT SELECT ON {database}.* TO '{user}'@'%'"))
        .await;
    url.set_username(&user).expect("a host");
    url.set_password(Some("secret")).expect("a host");
    let settings = [("CONFAB_SERVICES__MYSQL_URL", url.as_str())];
    let api = fixture
        .spawn_as(&["serve", "--no-migrate"], &settings)
        .await;
    let refused = async || wait_for_readiness(&api, 503, "unavailable").await;
    refused().await;
    let up = async || {
        let metrics = api.admin().get("/metrics").await.body;
        metrics.contains("confab_store_up{store=\"records\"} 0")
    };
    eventually_eq("MySQL is not up", true, up).await;
    fixture
        .execute(&format!("GRANT ALL ON {database}.* TO '{user}'@'%'"))
        .await;
    wait_for_readiness(&api, 200, "ready").await;
    drop(api);
    fixture.execute(&format!("DROP USER '{user}'@'%'")).await;
}
