//! Invalid settings stop startup with one line, and secrets are never printed.

use std::fs;

use serde_json::json;

use crate::support::{
    CommandOutput, Fixture, apply, eventually_eq, free_port, on_each_backend, on_services,
};

/// Fails unless startup failed with one line that contains all of these words.
#[track_caller]
fn refused(finished: &CommandOutput, words: &[&str]) {
    assert!(finished.code.is_some_and(|code| code != 0), "{finished:#?}");
    let lines: Vec<_> = finished
        .stderr
        .lines()
        .chain(finished.stdout.lines())
        .collect();
    assert_eq!(lines.len(), 1, "{finished:#?}");
    for word in words {
        assert!(lines[0].contains(word), "no {word:?} in it: {finished:#?}");
    }
}

#[apply(on_each_backend!)]
async fn invalid_environment_setting_stops_startup_and_is_named(fixture: &Fixture) {
    for (variable, value, key) in [
        ("CONFAB_SERVER__PROT", "1", "server.prot"),
        ("CONFAB_SERVR__PORT", "1", "servr.port"),
        ("CONFAB_PORT", "1", "port"),
        ("CONFAB_SERVER__PORT", "abc", "server.port"),
        ("CONFAB_SERVER__PORT", "65536", "server.port"),
        ("CONFAB_SERVER__PORT", "-1", "server.port"),
        ("CONFAB_SERVER__PORT", "true", "server.port"),
        ("CONFAB_WORKERS__ENABLED", "perhaps", "workers.enabled"),
        ("CONFAB_WORKERS__BATCH", "0", "workers.batch"),
        ("CONFAB_LIMITS__QUEUE_DEPTH", "lots", "limits.queue_depth"),
        (
            "CONFAB_SERVER__CORS_ORIGINS",
            "https://chat.example.com/",
            "server.cors_origins",
        ),
        (
            "CONFAB_SERVER__CORS_ORIGINS",
            "chat.example.com",
            "server.cors_origins",
        ),
        ("CONFAB_LIMITS__BURST", "0", "limits.burst"),
        ("CONFAB_LOG__FORMAT", "yaml", "log.format"),
        ("CONFAB_LOG__LEVEL", "loud", "log.level"),
        ("CONFAB_BACKING", "paper", "backing"),
    ] {
        let finished = fixture.confab_with(&["serve"], &[(variable, value)]).await;
        println!("{variable}={value}");
        refused(&finished, &[key, "environment"]);
    }
}

#[apply(on_each_backend!)]
async fn invalid_file_setting_stops_startup_and_is_named(fixture: &Fixture) {
    for (text, key) in [
        ("[server]\nprot = 1\n", "server.prot"),
        ("[server]\nport = \"abc\"\n", "server.port"),
        ("[serving]\nport = 1\n", "serving"),
        ("[workers]\nenabled = \"perhaps\"\n", "workers.enabled"),
        ("[workers]\nbatch = true\n", "workers.batch"),
        ("[limits]\nqueue_depth = 1.5\n", "limits.queue_depth"),
        ("[log]\nformat = \"yaml\"\n", "log.format"),
        ("[server\n", "confab-test.toml"),
    ] {
        let file = fixture.folder().join("confab-test.toml");
        fs::write(&file, text).expect("the test's folder takes files");
        println!("{text}");
        let path = file.to_str().expect("a path in UTF-8");
        for arguments in [["--config", path, "serve"], ["serve", "--config", path]] {
            let finished = fixture.confab(&arguments).await;
            refused(&finished, &[key, "confab-test.toml"]);
        }
    }
    let finished = fixture
        .confab(&["serve", "--config", "/nowhere.toml"])
        .await;
    refused(&finished, &["/nowhere.toml"]);
}

#[apply(on_each_backend!)]
async fn environment_overrides_file_and_file_overrides_defaults(fixture: &Fixture) {
    let file = fixture.folder().join("confab-test.toml");
    // Both differ from the defaults; the environment of this suite overrides the first.
    let text = "[server]\nport = 1\n[limits]\nqueue_depth = 1\n[workers]\nenabled = false\n";
    fs::write(&file, text).expect("the test's folder takes files");
    let path = file.to_str().expect("a path in UTF-8");
    let api = fixture.spawn_as(&["serve", "--config", path], &[]).await;
    eventually_eq("an application is accepted", 201, async || {
        let body = json!({"username": "no other process serves the file"});
        api.post("/application", &body).await.status
    })
    .await;
    let body = json!({"username": "one too many"});
    api.post("/application", &body)
        .await
        .expect_error(503, "Try again shortly: the queue is full");
}

#[apply(on_services!)]
async fn url_without_a_host_stops_startup(fixture: &Fixture) {
    for (variable, value, key) in [
        (
            "CONFAB_SERVICES__REDIS_URL",
            "redis://",
            "services.redis_url",
        ),
        (
            "CONFAB_SERVICES__REDIS_URL",
            "127.0.0.1:6379",
            "services.redis_url",
        ),
        (
            "CONFAB_SERVICES__MYSQL_URL",
            "mysql:///confab",
            "services.mysql_url",
        ),
        ("CONFAB_SERVICES__MYSQL_URL", "", "services.mysql_url"),
        (
            "CONFAB_SERVICES__MYSQL_URL",
            "redis://127.0.0.1",
            "services.mysql_url",
        ),
        (
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            "http://",
            "services.elasticsearch_url",
        ),
        (
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            "localhost",
            "services.elasticsearch_url",
        ),
    ] {
        let finished = fixture.confab_with(&["serve"], &[(variable, value)]).await;
        println!("{variable}={value}");
        refused(&finished, &[key, "environment"]);
    }
}

const SECRET: &str = "hunter2-hunter2";

#[apply(on_services!)]
async fn password_in_an_invalid_url_is_never_printed(fixture: &Fixture) {
    for (variable, value) in [
        ("CONFAB_SERVICES__MYSQL_URL", "mysql://me:SECRET@/confab"),
        ("CONFAB_SERVICES__MYSQL_URL", "http://me:SECRET@127.0.0.1:1"),
        ("CONFAB_SERVICES__REDIS_URL", "redis://:SECRET@"),
        (
            "CONFAB_SERVICES__REDIS_URL",
            "redis://:SECRET@127.0.0.1:port",
        ),
        (
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            "http://me:SECRET@:9200",
        ),
        ("CONFAB_SERVICES__ELASTICSEARCH_URL", "me:SECRET@127.0.0.1"),
    ] {
        let value = value.replace("SECRET", SECRET);
        let finished = fixture.confab_with(&["serve"], &[(variable, &value)]).await;
        assert!(!format!("{finished:?}").contains(SECRET), "{finished:#?}");
        refused(&finished, &["environment"]);
    }
}

#[apply(on_services!)]
async fn password_in_a_url_is_never_logged_at_trace_level(fixture: &Fixture) {
    let port = free_port();
    for (store, variable, scheme, path) in [
        ("MySQL", "CONFAB_SERVICES__MYSQL_URL", "mysql", "/confab"),
        ("Redis", "CONFAB_SERVICES__REDIS_URL", "redis", ""),
        (
            "Elasticsearch",
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
            "http",
            "",
        ),
    ] {
        let url = format!("{scheme}://me:{SECRET}@127.0.0.1:{port}{path}");
        let api = fixture
            .spawn(&[(variable, &url), ("CONFAB_LOG__LEVEL", "trace")])
            .await;
        api.get("/application/00000000").await;
        let line = format!("{store} is unavailable");
        eventually_eq(&line, true, async || api.output().contains(&line)).await;
        assert!(!api.output().contains(SECRET), "{}", api.output());
    }
}
