//! Schemathesis generates valid and invalid requests from the description, and validates the responses.

use std::{
    env,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{Fixture, Servers, StoreLocation, eventually_eq, run_at};

/// Timeout of schemathesis, much longer than needed.
const RUN_LIMIT: Duration = Duration::from_secs(600);

/// Timeout of the test.
const LIMIT: Duration = Duration::from_secs(700);

/// No schema says which cursors belong to an application, and a wait takes its time.
const CONFIGURATION: &str = r#"
[[operations]]
include-path = "/application/{app}/changes"
parameters = { "query.wait" = 0 }
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 410]
"#;

async fn every_response_conforms_to_the_description(fixture: &Fixture) {
    let program = env::var("CONFAB_TEST_SCHEMATHESIS")
        .expect("CONFAB_TEST_SCHEMATHESIS, the path of the program, as `make test` sets it");
    // A slow store is not a finding.
    let api = fixture
        .start_with(&[
            ("CONFAB_SERVICES__TIMEOUT_MS", "30000"),
            ("CONFAB_EMBEDDED__TIMEOUT_MS", "30000"),
        ])
        .await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("search", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    let configuration = fixture.folder().join("schemathesis.toml");
    std::fs::write(configuration, CONFIGURATION).expect("the test's folder takes files");
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &RUN_LIMIT.as_secs().to_string()])
        .arg(program)
        .arg("run")
        .arg(format!("http://127.0.0.1:{}/openapi.json", api.port))
        .args(["--checks", "all", "--max-examples", "25"])
        // The same requests in every run.
        .args(["--generation-deterministic"])
        .args(["--no-color", "--continue-on-failure"])
        // The speed of generation on this machine is not a finding.
        .args(["--suppress-health-check", "all", "--request-timeout", "60"])
        .current_dir(fixture.folder())
        .stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("waiting does not panic")
        .expect("schemathesis can be started");
    let said = String::from_utf8_lossy(&ended.stdout);
    println!("{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}", ended.status);
    // A run without any operation would succeed too.
    let made = said
        .lines()
        .find_map(|line| line.split_once(" generated, "));
    let made = made.and_then(|(number, _)| number.trim().parse::<u32>().ok());
    assert!(made.is_some_and(|made| made > 500), "{said}");
    api.get("/up").await.expect_status(200);
}

#[test]
#[ignore = "needs schemathesis, MySQL, Redis and Elasticsearch: make test"]
fn no_undocumented_response_on_services() {
    let location = StoreLocation::Services(Servers::shared());
    run_at(location, LIMIT, every_response_conforms_to_the_description);
}

#[test]
#[ignore = "needs schemathesis: make test"]
fn no_undocumented_response_on_embedded() {
    run_at(
        StoreLocation::Embedded,
        LIMIT,
        every_response_conforms_to_the_description,
    );
}
