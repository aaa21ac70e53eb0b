//! `confab doctor` reports problems and what to do about them.

use deadpool_redis::redis;
use serde_json::Value;

use crate::support::{
    Chat, DedicatedRedis, Fixture, Proxy, apply, eventually_eq, on_each_backend, on_embedded,
    on_services,
};

const NO_WORKERS: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

/// The report of `confab doctor`.
#[derive(Debug)]
struct Report(Value);

/// Runs `confab doctor`. The exit code must match the worst check, and every failed check must have advice.
async fn doctor(fixture: &Fixture, settings: &[(&str, &str)]) -> Report {
    let finished = fixture.confab_with(&["doctor", "--json"], settings).await;
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
    let code = |verdict: &Value| match verdict.as_str() {
        Some("ok") => 0,
        Some("warning") => 1,
        Some("problem") => 2,
        _ => panic!("{report:#}"),
    };
    let checks = report["checks"].as_array().expect("a list");
    let worst = checks.iter().map(|check| code(&check["verdict"])).max();
    assert_eq!(worst, Some(code(&report["worst"])), "{report:#}");
    finished.expect_code(code(&report["worst"]));
    for check in checks {
        assert_eq!(
            check["verdict"] == "ok",
            check["advice"].is_null(),
            "{check}"
        );
    }
    Report(report)
}

impl Report {
    fn find(&self, name: &str) -> Option<&Value> {
        let checks = self.0["checks"].as_array().expect("a list");
        checks.iter().find(|check| check["check"] == name)
    }

    #[track_caller]
    fn expect(&self, name: &str, verdict: &str) -> &Self {
        let check = self.find(name);
        let check = check.unwrap_or_else(|| panic!("no {name}: {self:#?}"));
        assert_eq!(check["verdict"], verdict, "{self:#?}");
        self
    }
}

/// Creates a chat with one message that is stored and searchable. No process runs afterwards.
async fn create_stored_message(fixture: &Fixture) -> Chat {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("the message", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    eventually_eq("the count", Value::from(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    // The first index is searchable before the reconciler has finished its build.
    eventually_eq("the index is built", Some(0), async || {
        fixture
            .stored_number("SELECT COUNT(*) FROM index_build")
            .await
    })
    .await;
    chat
}

#[apply(on_each_backend!)]
async fn healthy_stores_pass_every_check(fixture: &Fixture) {
    create_stored_message(fixture).await;
    let report = doctor(fixture, &[]).await;
    for name in [
        "configuration",
        "rows and documents",
        "outbox",
        "search index build",
        "waiting jobs",
        "dead letters",
    ] {
        report.expect(name, "ok");
    }
    let text = fixture.confab(&["doctor"]).await;
    assert!(text.stdout.contains("dead letters"), "{text:#?}");
}

#[apply(on_services!)]
async fn every_check_of_the_services_runs(fixture: &Fixture) {
    create_stored_message(fixture).await;
    let report = doctor(fixture, &[]).await;
    for name in [
        "mysql",
        "mysql schema",
        "mysql character set",
        "mysql max_allowed_packet",
        "redis",
        "redis epoch",
        "redis maxmemory-policy",
        "elasticsearch",
        "elasticsearch index",
        "elasticsearch mapping",
    ] {
        report.expect(name, "ok");
    }
    // The results of these depend on the machine.
    for name in [
        "mysql durability",
        "mysql clock",
        "redis persistence",
        "redis clock",
        "elasticsearch health",
    ] {
        assert!(report.find(name).is_some(), "no {name}: {report:#?}");
    }
}

#[apply(on_embedded!)]
async fn every_check_of_the_file_runs(fixture: &Fixture) {
    doctor(fixture, &[]).await.expect("file", "problem");
    create_stored_message(fixture).await;
    let report = doctor(fixture, &[]).await;
    for name in [
        "file",
        "folder",
        "journal",
        "schema",
        "integrity",
        "search index",
    ] {
        report.expect(name, "ok");
    }
    assert!(report.find("disk space").is_some(), "{report:#?}");
    let served = |report: &Report| {
        report
            .find("server")
            .map(|check| check["found"].to_string())
    };
    assert!(
        served(&report)
            .expect("a server check")
            .contains("no confab")
    );
    let _api = fixture.start().await;
    let report = doctor(fixture, &[]).await;
    assert!(
        served(&report)
            .expect("a server check")
            .contains("a confab serves")
    );
}

#[apply(on_each_backend!)]
async fn unusable_settings_are_a_problem(fixture: &Fixture) {
    let report = doctor(fixture, &[("CONFAB_SERVER__PROT", "1")]).await;
    report.expect("configuration", "problem");
}

#[apply(on_each_backend!)]
async fn dead_letters_are_reported(fixture: &Fixture) {
    let api = fixture.start_with(&[NO_WORKERS]).await;
    api.new_app().await;
    drop(api);
    if fixture.process_count() == 1 {
        let dead = "UPDATE jobs SET state = 'dead', due = accepted_at";
        assert_eq!(fixture.execute(dead).await, 1);
    } else {
        let prefix = fixture.services().redis_prefix();
        let mut redis = fixture.services().redis().await.expect("Redis");
        let queue = format!("{prefix}queue:create_application");
        let id: String = redis::cmd("RPOP")
            .arg(queue)
            .query_async(&mut redis)
            .await
            .expect("the job");
        redis::cmd("ZADD")
            .arg(format!("{prefix}dead"))
            .arg(1)
            .arg(id)
            .query_async::<()>(&mut redis)
            .await
            .expect("done");
    }
    let report = doctor(fixture, &[]).await;
    report.expect("dead letters", "warning");
}

#[apply(on_each_backend!)]
async fn pending_and_unknown_migrations_are_reported(fixture: &Fixture) {
    let schema = if fixture.process_count() == 1 {
        "schema"
    } else {
        "mysql schema"
    };
    fixture.confab(&["migrate"]).await.expect_code(0);
    let forget = "DELETE FROM __diesel_schema_migrations WHERE version > '20261123000000'";
    assert!(fixture.execute(forget).await > 0);
    doctor(fixture, &[]).await.expect(schema, "problem");
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    fixture.execute(newer).await;
    doctor(fixture, &[]).await.expect(schema, "problem");
}

#[apply(on_services!)]
async fn search_index_problems_are_reported(fixture: &Fixture) {
    let chat = create_stored_message(fixture).await;
    let elasticsearch = fixture.services().elasticsearch();
    for index in elasticsearch.indices().await.expect("a response") {
        elasticsearch.add_field(&index).await;
    }
    let report = doctor(fixture, &[]).await;
    report.expect("elasticsearch mapping", "problem");
    fixture.no_rebuild_is_unfinished().await;
    fixture.confab(&["search", "rebuild"]).await.expect_code(0);
    let report = doctor(fixture, &[]).await;
    report.expect("elasticsearch mapping", "ok");
    report.expect("rows and documents", "ok");

    elasticsearch.delete(&format!("{}:1:1", chat.app)).await;
    let report = doctor(fixture, &[]).await;
    report.expect("rows and documents", "warning");

    elasticsearch.remove_indices().await.expect("it is deleted");
    let report = doctor(fixture, &[]).await;
    report.expect("elasticsearch index", "problem");
}

#[apply(on_services!)]
async fn differing_epochs_are_reported(fixture: &Fixture) {
    create_stored_message(fixture).await;
    for change in ["+ 1", "- 2"] {
        fixture
            .execute(&format!(
                "UPDATE state SET queue_epoch = queue_epoch {change}"
            ))
            .await;
        let report = doctor(fixture, &[]).await;
        report.expect("redis epoch", "warning");
    }
}

#[apply(on_services!)]
async fn stalled_outbox_and_stalled_rebuild_are_reported(fixture: &Fixture) {
    create_stored_message(fixture).await;
    fixture
        .execute("INSERT INTO outbox (size, message_keys) VALUES (0, '')")
        .await;
    fixture
        .execute("INSERT INTO index_build (id, target) VALUES (1, '')")
        .await;
    let report = doctor(fixture, &[]).await;
    report.expect("outbox", "warning");
    report.expect("search index build", "warning");
}

#[apply(on_services!)]
async fn unreachable_store_is_a_problem_and_the_others_are_still_checked(fixture: &Fixture) {
    create_stored_message(fixture).await;
    let services = fixture.services();
    let stores = [
        ("mysql", "CONFAB_SERVICES__MYSQL_URL", &services.mysql_url),
        ("redis", "CONFAB_SERVICES__REDIS_URL", &services.redis_url),
        (
            "elasticsearch",
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            &services.elasticsearch_url,
        ),
    ];
    for (gone, variable, url) in &stores {
        let proxy = Proxy::refusing(url);
        let report = doctor(fixture, &[(variable, &proxy.url())]).await;
        for (store, ..) in &stores {
            let verdict = if store == gone { "problem" } else { "ok" };
            report.expect(store, verdict);
        }
    }
}

#[apply(on_services!)]
async fn redis_without_durable_settings_is_reported(fixture: &Fixture) {
    fixture.confab(&["migrate"]).await.expect_code(0);
    let fsync = |setting| ["--appendonly", "yes", "--appendfsync", setting];
    let evicts = ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"];
    for (settings, check, verdict) in [
        (fsync("always"), "redis persistence", "ok"),
        (fsync("everysec"), "redis persistence", "warning"),
        (fsync("no"), "redis persistence", "problem"),
        (
            ["--appendonly", "no", "--maxmemory", "50mb"],
            "redis persistence",
            "problem",
        ),
        (evicts, "redis maxmemory-policy", "problem"),
    ] {
        let redis = DedicatedRedis::start(fixture, &settings).await;
        let report = doctor(fixture, &[("CONFAB_SERVICES__REDIS_URL", &redis.url)]).await;
        report.expect(check, verdict);
    }
}

#[apply(on_embedded!)]
async fn damaged_file_is_reported(fixture: &Fixture) {
    create_stored_message(fixture).await;
    // The last connection to close the file moves the log's pages into it; in the log they would be intact.
    fixture.confab(&["migrate"]).await.expect_code(0);
    let log = fixture.file().with_extension("sqlite3-wal");
    assert!(!log.exists(), "{log:?}");
    let mut bytes = std::fs::read(fixture.file()).expect("the file");
    // The first page holds the schema; without it the file could not be opened.
    let damaged = bytes.len() / 2..bytes.len() / 2 + 8192;
    bytes[damaged].fill(0xAA);
    std::fs::write(fixture.file(), bytes).expect("written");
    doctor(fixture, &[]).await.expect("integrity", "problem");
}
