//! Invalid settings stop startup with one line, and secrets are never printed.

use std::fs;

use serde_json::json;

use crate::support::{
    CommandOutput, Fixture, apply, eventually_eq, free_port, on_each_backend, on_embedded,
    on_services,
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
        ("CONFAB_SERVER__PORT", "abc", "server.port"),
        ("CONFAB_SERVER__PORT", "true", "server.port"),
        ("CONFAB_WORKERS__ENABLED", "perhaps", "workers.enabled"),
        ("CONFAB_WORKERS__BATCH", "0", "workers.batch"),
        ("CONFAB_LIMITS__QUEUE_DEPTH", "lots", "limits.queue_depth"),
        ("CONFAB_LIMITS__BURST", "0", "limits.burst"),
        (
            "CONFAB_SERVICES__REDIS_IDLE_S",
            "59",
            "services.redis_idle_s",
        ),
    ] {
        let finished = fixture.confab_with(&["serve"], &[(variable, value)]).await;
        println!("{variable}={value}");
        refused(&finished, &[key, "environment"]);
    }
}

#[apply(on_each_backend!)]
async fn impossible_value_stops_startup_and_the_allowed_ones_are_named(fixture: &Fixture) {
    for (setting, value, words) in [
        (
            "backing",
            "postgres",
            "must be embedded or services, not \"postgres\"",
        ),
        ("log.format", "yaml", "must be text or json, not \"yaml\""),
        (
            "log.level",
            "loud",
            "must be error or warn or info or debug or trace, not \"loud\"",
        ),
        ("server.port", "70000", "must be from 0 to 65535, not 70000"),
        ("server.port", "-1", "must be from 0 to 65535, not -1"),
        ("admin.port", "65536", "must be from 0 to 65535, not 65536"),
        (
            "server.port",
            "99999999999999999999",
            "must be a whole number",
        ),
        ("server.creation_port", "70000", "must be from 0 to 65535"),
        (
            "server.client_timeout_ms",
            "0",
            "must be from 10 to 86400000, not 0",
        ),
        (
            "embedded.timeout_ms",
            "0",
            "must be from 10 to 86400000, not 0",
        ),
        ("embedded.timeout_ms", "3000000000", "from 10 to 86400000"),
        ("services.timeout_ms", "0", "from 10 to 86400000"),
        (
            "services.elasticsearch_write_timeout_ms",
            "0",
            "from 10 to 86400000",
        ),
        ("workers.poll_ms", "0", "from 1 to 86400000"),
        ("workers.lease_ms", "999", "from 1000 to 86400000"),
        (
            "workers.retry_ms",
            "9223372036854775807",
            "from 0 to 86400000",
        ),
        ("limits.requests_per_second", "-1", "from 0 to 1000000"),
        ("embedded.path", ":memory:", "must be the path of a file"),
        (
            "embedded.path",
            "file:confab?mode=memory",
            "must be the path of a file",
        ),
        ("embedded.path", "data/", "not of a folder"),
        (
            "server.cors_origins",
            "https://*.example.com",
            "list each origin, such as https://chat.example.com",
        ),
        ("server.cors_origins", "*", "list each origin"),
        (
            "server.cors_origins",
            "https://chat.example.com/",
            "a scheme, a host",
        ),
        (
            "server.cors_origins",
            "chat.example.com",
            "a scheme, a host",
        ),
    ] {
        let variable = format!("CONFAB_{}", setting.replace('.', "__").to_uppercase());
        let finished = fixture.confab_with(&["serve"], &[(&variable, value)]).await;
        println!("{variable}={value}");
        refused(&finished, &[setting, "environment", &variable, words]);
    }
    let same = [
        ("CONFAB_SERVER__PORT", "9"),
        ("CONFAB_SERVER__CREATION_PORT", "9"),
    ];
    let finished = fixture.confab_with(&["serve"], &same).await;
    refused(&finished, &["server.creation_port", "server.port"]);
}

#[apply(on_each_backend!)]
async fn words_are_accepted_in_any_case(fixture: &Fixture) {
    let backing = fixture.settings()[0].1.to_uppercase();
    let settings = [
        ("CONFAB_BACKING", backing.as_str()),
        ("CONFAB_LOG__LEVEL", "INFO"),
        ("CONFAB_LOG__FORMAT", "Json"),
        ("CONFAB_WORKERS__ENABLED", "True"),
    ];
    let api = fixture.start_with(&settings).await;
    eventually_eq("lines of the level info in JSON", true, async || {
        api.output().contains(r#""level":"INFO""#)
    })
    .await;
}

#[apply(on_each_backend!)]
async fn variables_that_only_look_like_settings_are_ignored_with_one_warning(fixture: &Fixture) {
    // What Kubernetes sets in every pod, if there is a Service of the name `confab`.
    let address = "tcp://10.3.141.59:3001";
    let settings = [
        ("CONFAB_PORT", address),
        ("CONFAB_PORT_3001_TCP", address),
        ("CONFAB_PORT_3001_TCP_PROTO", "tcp"),
        ("CONFAB_SERVICE_HOST", "10.3.141.59"),
        ("CONFAB_SERVICE_PORT", "3001"),
    ];
    let api = fixture.start_with(&settings).await;
    let warnings = || {
        let output = api.output();
        let lines = output.lines().filter(|line| line.contains("CONFAB_"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually_eq("one warning", 1, async || warnings().len()).await;
    let line = warnings().remove(0);
    for (name, _) in settings {
        assert!(line.contains(name), "{line}");
    }
    assert!(!line.contains("10.3.141.59"), "{line}");
    let found = fixture.confab_with(&["doctor"], &settings).await;
    assert!(found.stdout.contains("CONFAB_PORT_3001_TCP"), "{found:#?}");
}

#[apply(on_each_backend!)]
async fn text_setting_keeps_its_digits(fixture: &Fixture) {
    for token in [
        "12345678901234567890",
        "0000000000000007",
        "1.10000000000e10",
    ] {
        let api = fixture.start_with(&[("CONFAB_ADMIN__TOKEN", token)]).await;
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let response = api.admin().send("GET", "/metrics", &headers, "").await;
        response.expect_status(200);
    }
}

#[apply(on_embedded!)]
async fn path_keeps_its_digits(fixture: &Fixture) {
    for path in ["007", "1e3", "true", "1_000"] {
        let api = fixture.start_with(&[("CONFAB_EMBEDDED__PATH", path)]).await;
        assert!(fixture.folder().join(path).is_file(), "{path}");
        drop(api);
    }
}

#[apply(on_each_backend!)]
async fn value_that_is_not_utf8_stops_startup_and_is_named(fixture: &Fixture) {
    for (variable, key) in [
        ("CONFAB_EMBEDDED__PATH", "embedded.path"),
        ("CONFAB_SERVER__PORT", "server.port"),
        ("CONFAB_BACKING", "backing"),
    ] {
        let script = format!(r#"export {variable}="$(printf 'a\377b')"; exec "$0" "$@""#);
        let wrapper = ["sh", "-c", &script];
        let finished = fixture.confab_wrapped(&wrapper, &["serve"], &[]).await;
        refused(&finished, &[key, variable, "UTF-8"]);
    }
    // Nor is a name that is not.
    let script = r#"exec env "CONFAB_SERVER__$(printf 'P\377')=1" "$0" "$@""#;
    let wrapper = ["sh", "-c", script];
    let finished = fixture.confab_wrapped(&wrapper, &["serve"], &[]).await;
    refused(&finished, &["server.p", "unknown setting"]);
}

#[apply(on_each_backend!)]
async fn empty_value_means_not_set_for_every_setting(fixture: &Fixture) {
    let defaults = include_str!("../../config/default.toml");
    let mut section = String::new();
    let mut variables = vec![("CONFAB_BACKING".to_owned(), "")];
    for line in defaults.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_uppercase();
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
            && !section.is_empty()
            && key != "port"
        {
            variables.push((format!("CONFAB_{section}__{}", key.to_uppercase()), ""));
        }
    }
    assert!(variables.len() > 25, "{variables:?}");
    // A file in the place of what the environment says otherwise.
    let text = fixture.settings().into_iter().fold(
        String::from("admin.token = \"a-token-in-the-file\"\nlog.level = \"\"\n"),
        |text, (name, value)| {
            let key = name.trim_start_matches("CONFAB_").replace("__", ".");
            format!("{text}{} = {value:?}\n", key.to_lowercase())
        },
    );
    let file = fixture.folder().join("confab-test.toml");
    fs::write(&file, text).expect("the test's folder takes files");
    let path = file.to_str().expect("a path in UTF-8");
    let settings: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let api = fixture
        .spawn_as(&["serve", "--config", path], &settings)
        .await;
    api.wait_until_ready().await;
    let response = api.admin().get("/metrics").await;
    assert_eq!(response.status, 401, "the token of the file is in use");
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
        ("[embedded]\npath = 7\n", "embedded.path"),
        ("[admin]\ntoken = 1e20\n", "admin.token"),
        ("[server]\ncors_origins = [1]\n", "server.cors_origins"),
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
