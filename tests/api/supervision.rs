//! Workers that crash, fail or stall, at a step that the test names.

use serde_json::{Value, json};

use crate::{
    readiness::{entry_named, wait_for_readiness},
    shutdown::exit_code,
    support::{Fixture, Process, apply, eventually, eventually_eq, on_each_backend, on_services},
};

/// Jobs of a crashed process are recovered soon, and a step may take 1 s before the worker counts as stalled.
const SHORT_LEASE: [(&str, &str); 2] = [
    ("CONFAB_WORKERS__LEASE_MS", "2000"),
    ("CONFAB_WORKERS__STALL_MS", "1000"),
];

/// Starts a process with a planned failure.
async fn start_with_failure(fixture: &Fixture, plan: &str) -> Process {
    let plan = ("CONFAB_TEST_BREAK", plan);
    fixture
        .start_with(&[SHORT_LEASE.as_slice(), &[plan]].concat())
        .await
}

#[apply(on_each_backend!)]
async fn panicked_worker_is_restarted_and_continues(fixture: &Fixture) {
    for step in ["claimed", "before_commit", "before_acknowledge"] {
        let api = start_with_failure(fixture, &format!("{step}:3:panic")).await;
        let app = api.new_app().await;
        let chat = api.new_chat(&app).await;
        eventually("the planned panic", async || {
            api.create_message(&chat, "hello").await;
            let output = api.output();
            if output.contains("planned failure") {
                Ok(())
            } else {
                Err(output)
            }
        })
        .await;
        let number = api.create_message(&chat, "hello again").await;
        eventually_eq("all is stored and counted", json!(number), async || {
            api.messages_count(&chat).await
        })
        .await;
        let kinds = ["create_application", "create_chat", "create_message"];
        // A panic in the thread of the file is an error to the worker.
        let expected = u64::from(step != "before_commit" || fixture.process_count() > 1);
        // The worker ends only after its panic is printed, which may take longer than the other workers' jobs.
        eventually_eq(
            "readiness reports the restarts",
            Some(expected),
            async || {
                let ready = wait_for_readiness(&api, 200, "ready").await;
                let restarts = |worker| entry_named(&ready, "workers", worker)["restarts"].as_u64();
                kinds.into_iter().map(restarts).sum()
            },
        )
        .await;
    }
}

#[apply(on_each_backend!)]
async fn readiness_reports_a_stalled_worker(fixture: &Fixture) {
    let api = start_with_failure(fixture, "claimed:1:stall").await;
    wait_for_readiness(&api, 200, "ready").await;
    let app = api.new_app().await;
    let readiness = wait_for_readiness(&api, 503, "unavailable").await;
    let worker = entry_named(&readiness, "workers", "create_application");
    assert!(worker["stalled_ms"].as_u64() >= Some(1000), "{readiness:#}");
    // Nothing is lost.
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "0");
    drop(api);
    let _api = fixture.start_with(&SHORT_LEASE).await;
    eventually_eq("it is stored", Some(1), async || {
        fixture
            .stored_number("SELECT COUNT(*) FROM applications")
            .await
    })
    .await;
}

#[apply(on_each_backend!)]
async fn second_signal_exits_immediately(fixture: &Fixture) {
    let mut api = start_with_failure(fixture, "claimed:1:stall").await;
    let app = api.new_app().await;
    eventually("the batch is in flight", async || {
        let output = api.output();
        if output.contains("planned failure") {
            Ok(())
        } else {
            Err(output)
        }
    })
    .await;
    api.signal("TERM");
    eventually("new connections are refused", async || {
        match api.try_get("/up").await {
            Ok(response) => Err(response),
            Err(_) => Ok(()),
        }
    })
    .await;
    assert!(api.ended().is_none(), "the batch in flight is not finished");
    api.signal("TERM");
    assert_eq!(exit_code(&mut api).await, Some(1));
    let api = fixture.start_with(&SHORT_LEASE).await;
    eventually_eq("it is stored", Some(1), async || {
        fixture
            .stored_number("SELECT COUNT(*) FROM applications")
            .await
    })
    .await;
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "0");
}

#[apply(on_each_backend!)]
async fn prefetched_batch_is_released_when_a_batch_fails(fixture: &Fixture) {
    const MESSAGES: u64 = 10;
    let api = fixture.start().await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    eventually_eq("the chat is stored", 0, async || left(fixture).await).await;
    drop(api);
    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    for _ in 0..MESSAGES {
        api.create_message(&chat, "hello").await;
    }
    drop(api);
    let settings = [
        ("CONFAB_WORKERS__BATCH", "2"),
        // Much longer than the test waits.
        ("CONFAB_WORKERS__LEASE_MS", "300000"),
        ("CONFAB_TEST_BREAK", "between_batches:1:error"),
    ];
    let api = fixture.start_with(&settings).await;
    eventually_eq("all is stored", 0, async || left(fixture).await).await;
    assert!(api.output().contains("planned failure"));
    eventually_eq("all is counted", json!(MESSAGES), async || {
        api.messages_count(&chat).await
    })
    .await;
}

/// The number of jobs that are waiting or leased.
async fn left(fixture: &Fixture) -> u64 {
    let finished = fixture.confab(&["jobs", "stats", "--json"]).await;
    let readiness: Value = serde_json::from_str(&finished.stdout).expect("one JSON object");
    let kinds = readiness["kinds"].as_array().expect("a list").iter();
    let counts = kinds.flat_map(|kind| ["waiting", "leased"].map(|state| kind[state].as_u64()));
    counts.sum::<Option<u64>>().expect("numbers")
}

#[apply(on_services!)]
async fn jobs_of_a_killed_process_are_reclaimed_after_the_default_lease(fixture: &Fixture) {
    const LEASE_ENDED: (&str, &str) = ("CONFAB_TEST_CLOCK_OFFSET_MS", "30000");
    let survivor = fixture.start().await;
    let plan = ("CONFAB_TEST_BREAK", "claimed:1:stall");
    let victim = loop {
        let victim = fixture.start_with(&[plan]).await;
        let has_a_batch = async || victim.output().contains("planned failure");
        // Each process wakes its own workers, so it mostly claims what it accepted.
        for _ in 0..20 {
            victim.new_app().await;
            if has_a_batch().await {
                break;
            }
        }
        if has_a_batch().await {
            break victim;
        }
    };
    let app = victim.new_app().await;
    victim.kill();
    assert!(left(fixture).await > 0, "the killed process held no job");
    let _later = fixture.start_with(&[LEASE_ENDED]).await;
    eventually_eq("the jobs of the killed process are stored", 0, async || {
        left(fixture).await
    })
    .await;
    assert_eq!(survivor.get(&app).await.text_field("ChatsCount"), "0");
}

#[apply(on_each_backend!)]
async fn process_ends_with_an_error_if_a_part_of_it_ends(fixture: &Fixture) {
    for (step, part) in [
        ("server_thread", "the API's server"),
        ("admin_thread", "the admin listener's server"),
        ("migrated", "the workers"),
    ] {
        let plan = format!("{step}:1:panic");
        let mut process = fixture.launch(&["serve"], &[("CONFAB_TEST_BREAK", &plan)]);
        let status = eventually("the process ends", async || {
            process.ended().ok_or_else(|| process.output())
        })
        .await;
        assert_eq!(status.code(), Some(1), "{step}: {}", process.output());
        let line = format!("confab: {part} ended unexpectedly");
        assert!(process.output().contains(&line), "{}", process.output());
    }
}

#[apply(on_each_backend!)]
async fn too_few_open_files_stop_startup(fixture: &Fixture) {
    // The runtime starts with this limit, and threads of the server would not.
    let limited = ["sh", "-c", "ulimit -n 40 && exec \"$@\"", "sh"];
    let finished = fixture.confab_wrapped(&limited, &["serve"], &[]).await;
    finished.expect_code(1);
    let text = "the limit of open files is 40, and at least";
    assert!(finished.stderr.contains(text), "{finished:#?}");
}

#[apply(on_each_backend!)]
async fn low_limit_of_open_files_bounds_the_connections(fixture: &Fixture) {
    let limited = ["sh", "-c", "ulimit -n 2000 && exec \"$@\"", "sh"];
    let mut api = fixture.launch_wrapped(&limited, &["serve"], &[]);
    assert!(api.wait_until_up().await, "{}", api.output());
    let text = "Limit of open files is too low for server.connections";
    eventually_eq(text, true, async || api.output().contains(text)).await;
    api.wait_until_ready().await;
    api.new_app_and_chat().await;
}
