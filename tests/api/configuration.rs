//! A setting that cannot be used stops the start with one line; a secret never shows.

use std::fs;

use serde_json::json;

use crate::support::{Finished, Site, free_port, on_each_backing, on_services, settles};

/// Fails unless the start was refused with one line that holds all of these words.
#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
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

async fn a_bad_setting_in_the_environment_stops_the_start_and_is_named(site: &Site) {
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
        let finished = site.confab_with(&["serve"], &[(variable, value)]).await;
        println!("{variable}={value}");
        refused(&finished, &[key, "environment"]);
    }
}

async fn a_bad_setting_in_a_file_stops_the_start_and_is_named(site: &Site) {
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
        let file = site.folder().join("confab-test.toml");
        fs::write(&file, text).expect("the test's folder takes files");
        println!("{text}");
        let path = file.to_str().expect("a path in UTF-8");
        for arguments in [["--config", path, "serve"], ["serve", "--config", path]] {
            let finished = site.confab(&arguments).await;
            refused(&finished, &[key, "confab-test.toml"]);
        }
    }
    let finished = site.confab(&["serve", "--config", "/nowhere.toml"]).await;
    refused(&finished, &["/nowhere.toml"]);
}

async fn the_environment_goes_before_the_file_and_the_file_before_the_defaults(site: &Site) {
    let file = site.folder().join("confab-test.toml");
    // Both are against the defaults; the environment, as this suite always sets it, is against the first.
    let text = "[server]\nport = 1\n[limits]\nqueue_depth = 1\n[workers]\nenabled = false\n";
    fs::write(&file, text).expect("the test's folder takes files");
    let path = file.to_str().expect("a path in UTF-8");
    let api = site.spawn_as(&["serve", "--config", path], &[]).await;
    settles("an application is accepted", 201, async || {
        let body = json!({"username": "the only one"});
        api.post("/application", &body).await.status
    })
    .await;
    let body = json!({"username": "one too many"});
    api.post("/application", &body)
        .await
        .expect_error(503, "Try again shortly: the queue is full");
}

async fn a_url_without_a_host_stops_the_start(site: &Site) {
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
        let finished = site.confab_with(&["serve"], &[(variable, value)]).await;
        println!("{variable}={value}");
        refused(&finished, &[key, "environment"]);
    }
}

const SECRET: &str = "hunter2-hunter2";

async fn a_password_in_a_url_that_is_refused_never_shows(site: &Site) {
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
        let finished = site.confab_with(&["serve"], &[(variable, &value)]).await;
        assert!(!format!("{finished:?}").contains(SECRET), "{finished:#?}");
        refused(&finished, &["environment"]);
    }
}

async fn a_password_in_a_url_never_shows_in_the_most_talkative_log(site: &Site) {
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
        let api = site
            .spawn(&[(variable, &url), ("CONFAB_LOG__LEVEL", "trace")])
            .await;
        api.get("/application/00000000").await;
        let line = format!("{store} is unavailable");
        settles(&line, true, async || api.output().contains(&line)).await;
        assert!(!api.output().contains(SECRET), "{}", api.output());
    }
}

on_each_backing!(
    a_bad_setting_in_the_environment_stops_the_start_and_is_named,
    a_bad_setting_in_a_file_stops_the_start_and_is_named,
    the_environment_goes_before_the_file_and_the_file_before_the_defaults,
);

on_services!(
    a_url_without_a_host_stops_the_start,
    a_password_in_a_url_that_is_refused_never_shows,
    a_password_in_a_url_never_shows_in_the_most_talkative_log,
);
