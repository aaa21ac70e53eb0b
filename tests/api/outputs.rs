//! Commands whose output is closed or full, and the check of a running server.

use std::{
    fs::{self, File},
    io::pipe,
    process::Stdio,
};

use serde_json::json;

use crate::{
    shutdown::exit_code,
    support::{
        CommandOutput, Fixture, apply, eventually, eventually_eq, free_port, on_each_backend,
        on_embedded,
    },
};

/// Every command that prints a result, with its exit code on healthy stores.
const COMMANDS: [&[&str]; 17] = [
    &["--help"],
    &["--version"],
    &["help", "jobs"],
    &["completions", "bash"],
    &["openapi"],
    &["migrate"],
    &["migrate", "--json"],
    &["jobs", "stats"],
    &["jobs", "stats", "--json"],
    &["jobs", "list"],
    &["jobs", "list", "--json"],
    &["jobs", "retry", "--all"],
    &["jobs", "resume", "create_chat"],
    &["search", "verify", "--json"],
    &["search", "rebuild"],
    &["counts", "verify", "--fix"],
    &["doctor"],
];

fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device of Linux")
}

#[track_caller]
fn no_panic(finished: &CommandOutput) {
    assert_ne!(finished.code, Some(101), "{finished:#?}");
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
}

/// Prepares stores on which every command succeeds.
async fn prepare(fixture: &Fixture) {
    fixture.confab(&["migrate"]).await.expect_code(0);
    let rebuilt = fixture.confab(&["search", "rebuild"]).await;
    rebuilt.expect_code(0);
}

#[apply(on_each_backend!)]
async fn closed_pipe_is_no_error_of_a_command(fixture: &Fixture) {
    prepare(fixture).await;
    for command in COMMANDS {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let finished = fixture.confab_into(command, writer, Stdio::piped()).await;
        no_panic(&finished);
        let with_reader = fixture.confab(command).await;
        assert_eq!(finished.code, with_reader.code, "{command:?}");
        // The log of a command may have lines there.
        let mut lines = finished.stderr.lines();
        assert!(
            !lines.any(|line| line.starts_with("confab: ")),
            "{finished:#?}"
        );
    }
}

#[apply(on_each_backend!)]
async fn full_output_is_an_error_with_a_message(fixture: &Fixture) {
    prepare(fixture).await;
    for command in COMMANDS {
        let finished = fixture.confab_into(command, full(), Stdio::piped()).await;
        println!("{command:?}: {finished:#?}");
        no_panic(&finished);
        finished.expect_code(1);
        let message = "confab: cannot write to standard output: No space left on device";
        assert!(finished.stderr.contains(message), "{finished:#?}");
        // Nor does it panic where nobody can be told.
        let finished = fixture.confab_into(command, full(), full()).await;
        finished.expect_code(1);
    }
    for command in [&["sevre"][..], &["jobs", "show", "0000000000000001"]] {
        let told = fixture.confab(command).await;
        let untold = fixture.confab_into(command, full(), full()).await;
        assert_eq!(untold.code, told.code, "{command:?}");
    }
}

#[apply(on_each_backend!)]
async fn server_goes_on_without_a_place_for_its_log(fixture: &Fixture) {
    let everything = [("CONFAB_LOG__LEVEL", "trace")];
    for outputs in [">/dev/full 2>&1", "2> >(:)"] {
        let script = format!(r#"exec "$0" "$@" {outputs}"#);
        let wrapper = ["bash", "-c", &script];
        let mut api = fixture.launch_wrapped(&wrapper, &["serve"], &everything);
        assert!(api.wait_until_up().await, "{outputs}");
        api.wait_until_ready().await;
        let chat = api.new_app_and_chat().await;
        for _ in 0..100 {
            api.create_message(&chat, "hello").await;
        }
        api.signal("TERM");
        assert_eq!(exit_code(&mut api).await, Some(0), "{outputs}");
    }
}

#[apply(on_each_backend!)]
async fn recount_says_how_many_counts_were_wrong(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("the message is counted", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    eventually_eq("all counts are right", Some(0), async || {
        fixture.confab(&["counts", "verify"]).await.code
    })
    .await;
    drop(api);
    for (command, end) in [
        (&["counts", "verify"][..], "counted: no count is wrong\n"),
        (
            &["counts", "verify", "--fix"],
            "counted: no count is wrong\n",
        ),
    ] {
        let finished = fixture.confab(command).await;
        assert!(finished.stdout.ends_with(end), "{finished:#?}");
    }
    fixture.execute("UPDATE chats SET messages_count = 7").await;
    let finished = fixture.confab(&["counts", "verify"]).await;
    let line = finished.stdout.lines().next().unwrap_or_default();
    assert!(line.ends_with("counted: 1 count is wrong"), "{finished:#?}");
    let finished = fixture.confab(&["counts", "verify", "--fix"]).await;
    let line = finished.stdout.lines().next().unwrap_or_default();
    let end = "counted: 1 count was wrong and is corrected";
    assert!(line.ends_with(end), "{finished:#?}");
}

#[apply(on_embedded!)]
async fn health_is_whether_the_server_of_the_settings_responds(fixture: &Fixture) {
    let port = free_port().to_string();
    let settings = [
        ("CONFAB_SERVER__PORT", port.as_str()),
        ("CONFAB_SERVER__HOST", "0.0.0.0"),
        ("CONFAB_AUTH__MODE", "open"),
        // A proxy is for other hosts.
        ("http_proxy", "http://127.0.0.1:1"),
    ];
    let unknown = fixture.confab(&["health"]).await;
    unknown.expect_code(1);
    assert!(unknown.stderr.contains("server.port is 0"), "{unknown:#?}");
    let down = fixture.confab_with(&["health"], &settings).await;
    down.expect_code(1);
    let url = format!("http://127.0.0.1:{port}/up does not respond");
    assert!(down.stderr.contains(&url), "{down:#?}");

    let api = fixture.start().await;
    let port = api.port.to_string();
    let settings = [("CONFAB_SERVER__PORT", port.as_str()), settings[3]];
    let healthy = fixture.confab_with(&["health"], &settings).await;
    healthy.expect_code(0);
    assert_eq!(healthy.stdout, "healthy\n");
    // A process that does not answer is not.
    api.signal("STOP");
    let stopped = fixture.confab_with(&["health"], &settings).await;
    stopped.expect_code(1);
    api.signal("CONT");
}

#[apply(on_embedded!)]
async fn health_is_asked_by_the_unix_socket_where_nothing_else_is_listened_on(fixture: &Fixture) {
    let path = fixture.folder().join("confab.sock");
    let file = fixture.folder().join("confab.toml");
    let text = format!(
        "[server]\nhost = []\nunix_socket = \"{}\"\n",
        path.display()
    );
    fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let check = async || fixture.confab(&["health", "--config", file]).await;
    let down = check().await;
    down.expect_code(1);
    let listener = format!("/up of {} does not respond", path.display());
    assert!(down.stderr.contains(&listener), "{down:#?}");
    let api = fixture.launch(&["serve", "--config", file], &[]);
    eventually("it is healthy", async || {
        let healthy = check().await;
        if healthy.code == Some(0) {
            Ok(())
        } else {
            Err((healthy, api.output()))
        }
    })
    .await;
}
