//! `confab doctor` tells what is wrong, and what to do about it.

use deadpool_redis::redis;
use serde_json::Value;

use crate::support::{
    Chat, OwnRedis, Proxy, Site, on_each_backing, on_embedded, on_services, settles,
};

const NO_WORKERS: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

/// What the doctor said.
#[derive(Debug)]
struct Report(Value);

/// Asks the doctor. The exit code must be that of the worst check, and every check but a good one must have advice.
async fn doctor(site: &Site, settings: &[(&str, &str)]) -> Report {
    let finished = site.confab_with(&["doctor", "--json"], settings).await;
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

/// A chat with one message that is stored and found; nobody looks after it.
async fn at_rest(site: &Site) -> Chat {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    settles("the message", vec![1], async || {
        api.found(&chat, "hello").await
    })
    .await;
    settles("the count", Value::from(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    // The first index can be searched before the clean job is through with building it.
    settles("the index is built", Some(0), async || {
        site.stored_number("SELECT COUNT(*) FROM index_build").await
    })
    .await;
    chat
}

async fn healthy_stores_are_found_so(site: &Site) {
    at_rest(site).await;
    let report = doctor(site, &[]).await;
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
    let text = site.confab(&["doctor"]).await;
    assert!(text.stdout.contains("dead letters"), "{text:#?}");
}

async fn every_part_of_the_services_is_looked_at(site: &Site) {
    at_rest(site).await;
    let report = doctor(site, &[]).await;
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
    // What these say depends on where the tests run.
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

async fn every_part_of_the_file_is_looked_at(site: &Site) {
    doctor(site, &[]).await.expect("file", "problem");
    at_rest(site).await;
    let report = doctor(site, &[]).await;
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
    assert!(served(&report).expect("told").contains("no confab"));
    let _api = site.start().await;
    let report = doctor(site, &[]).await;
    assert!(served(&report).expect("told").contains("a confab serves"));
}

async fn settings_that_cannot_be_used_are_a_problem(site: &Site) {
    let report = doctor(site, &[("CONFAB_SERVER__PROT", "1")]).await;
    report.expect("configuration", "problem");
}

async fn dead_letters_are_told(site: &Site) {
    let api = site.start_with(&[NO_WORKERS]).await;
    api.new_app().await;
    drop(api);
    if site.processes() == 1 {
        let dead = "UPDATE jobs SET state = 'dead', due = accepted_at";
        assert_eq!(site.execute(dead).await, 1);
    } else {
        let prefix = site.services().redis_prefix();
        let mut redis = site.services().redis().await.expect("Redis");
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
    let report = doctor(site, &[]).await;
    report.expect("dead letters", "warning");
}

async fn migrations_that_did_not_run_or_are_unknown_are_told(site: &Site) {
    let schema = if site.processes() == 1 {
        "schema"
    } else {
        "mysql schema"
    };
    site.confab(&["migrate"]).await.expect_code(0);
    let forget = "DELETE FROM __diesel_schema_migrations WHERE version > '20261123000000'";
    assert!(site.execute(forget).await > 0);
    doctor(site, &[]).await.expect(schema, "problem");
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')";
    site.execute(newer).await;
    doctor(site, &[]).await.expect(schema, "problem");
}

async fn an_index_that_is_not_as_it_should_be_is_told(site: &Site) {
    let chat = at_rest(site).await;
    let elasticsearch = site.services().elasticsearch();
    for index in elasticsearch.indices().await.expect("an answer") {
        elasticsearch.add_field(&index).await;
    }
    let report = doctor(site, &[]).await;
    report.expect("elasticsearch mapping", "problem");
    site.no_rebuild_is_unfinished().await;
    site.confab(&["search", "rebuild"]).await.expect_code(0);
    let report = doctor(site, &[]).await;
    report.expect("elasticsearch mapping", "ok");
    report.expect("rows and documents", "ok");

    elasticsearch.delete(&format!("{}:1:1", chat.app)).await;
    let report = doctor(site, &[]).await;
    report.expect("rows and documents", "warning");

    elasticsearch.remove_indices().await.expect("it is deleted");
    let report = doctor(site, &[]).await;
    report.expect("elasticsearch index", "problem");
}

async fn epochs_that_differ_are_told(site: &Site) {
    at_rest(site).await;
    for change in ["+ 1", "- 2"] {
        site.execute(&format!("UPDATE state SET epoch = epoch {change}"))
            .await;
        let report = doctor(site, &[]).await;
        report.expect("redis epoch", "warning");
    }
}

async fn an_outbox_and_a_build_that_nobody_sees_to_are_told(site: &Site) {
    at_rest(site).await;
    site.execute("INSERT INTO outbox (size, message_keys) VALUES (0, '')")
        .await;
    site.execute("INSERT INTO index_build (id, target) VALUES (1, '')")
        .await;
    let report = doctor(site, &[]).await;
    report.expect("outbox", "warning");
    report.expect("search index build", "warning");
}

async fn a_store_out_of_reach_is_a_problem_and_the_others_are_looked_at(site: &Site) {
    at_rest(site).await;
    let services = site.services();
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
        let report = doctor(site, &[(variable, &proxy.url())]).await;
        for (store, ..) in &stores {
            let verdict = if store == gone { "problem" } else { "ok" };
            report.expect(store, verdict);
        }
    }
}

async fn a_redis_that_may_lose_jobs_is_told(site: &Site) {
    site.confab(&["migrate"]).await.expect_code(0);
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
        let redis = OwnRedis::start(site, &settings).await;
        let report = doctor(site, &[("CONFAB_SERVICES__REDIS_URL", &redis.url)]).await;
        report.expect(check, verdict);
    }
}

async fn a_damaged_file_is_told(site: &Site) {
    at_rest(site).await;
    // Whoever closes the file last brings the log's pages into it: in the log they would be whole.
    site.confab(&["migrate"]).await.expect_code(0);
    let log = site.file().with_extension("sqlite3-wal");
    assert!(!log.exists(), "{log:?}");
    let mut bytes = std::fs::read(site.file()).expect("the file");
    // The first page holds the schema; without it nothing could be opened at all.
    let damaged = bytes.len() / 2..bytes.len() / 2 + 8192;
    bytes[damaged].fill(0xAA);
    std::fs::write(site.file(), bytes).expect("written");
    doctor(site, &[]).await.expect("integrity", "problem");
}

on_each_backing!(
    healthy_stores_are_found_so,
    settings_that_cannot_be_used_are_a_problem,
    dead_letters_are_told,
    migrations_that_did_not_run_or_are_unknown_are_told,
);

on_services!(
    every_part_of_the_services_is_looked_at,
    an_index_that_is_not_as_it_should_be_is_told,
    epochs_that_differ_are_told,
    an_outbox_and_a_build_that_nobody_sees_to_are_told,
    a_store_out_of_reach_is_a_problem_and_the_others_are_looked_at,
    a_redis_that_may_lose_jobs_is_told,
);

on_embedded!(every_part_of_the_file_is_looked_at, a_damaged_file_is_told);
