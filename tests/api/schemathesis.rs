//! Schemathesis makes requests from the description, good and bad ones, and holds the answers against it.

use std::{env, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::support::{Place, Servers, Site, run_at, settles};

/// Far more than it takes.
const LIMIT: Duration = Duration::from_secs(600);

async fn nothing_is_answered_but_what_is_described(site: &Site) {
    let program = env::var("CONFAB_TEST_SCHEMATHESIS")
        .expect("CONFAB_TEST_SCHEMATHESIS, the path of the program, as `make test` sets it");
    // A store that is slow for once is no finding either.
    let api = site
        .start_with(&[
            ("CONFAB_SERVICES__TIMEOUT_MS", "30000"),
            ("CONFAB_EMBEDDED__TIMEOUT_MS", "30000"),
        ])
        .await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    settles("search", vec![1], async || api.found(&chat, "hello").await).await;
    let ended = Command::new(program)
        .arg("run")
        .arg(format!("http://127.0.0.1:{}/openapi.json", api.port))
        .args(["--checks", "all", "--max-examples", "25"])
        // The same requests in every run.
        .args(["--generation-deterministic"])
        .args(["--no-color", "--continue-on-failure"])
        // How fast it makes up its requests on this machine is nobody's fault.
        .args(["--suppress-health-check", "all", "--request-timeout", "60"])
        .current_dir(site.folder())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis can be started");
    let said = String::from_utf8_lossy(&ended.stdout);
    println!("{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}", ended.status);
    // A run that found no operation, say, would be content, too.
    let made = said
        .lines()
        .find_map(|line| line.split_once(" generated, "));
    let made = made.and_then(|(number, _)| number.trim().parse::<u32>().ok());
    assert!(made.is_some_and(|made| made > 500), "{said}");
    api.get("/up").await.expect_status(200);
}

#[test]
#[ignore = "wants schemathesis, MySQL, Redis and Elasticsearch: make test"]
fn on_services() {
    let place = Place::Services(Servers::shared());
    run_at(place, LIMIT, nothing_is_answered_but_what_is_described);
}

#[test]
#[ignore = "wants schemathesis: make test"]
fn on_embedded() {
    run_at(
        Place::Embedded,
        LIMIT,
        nothing_is_answered_but_what_is_described,
    );
}
