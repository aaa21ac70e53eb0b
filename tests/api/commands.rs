//! The operator's commands on healthy stores, with and without a running process.

use serde_json::Value;

use crate::support::{Fixture, apply, eventually, eventually_eq, on_each_backend, on_services};

#[apply(on_each_backend!)]
async fn every_command_succeeds_on_healthy_stores(fixture: &Fixture) {
    let commands: [&[&str]; 7] = [
        &["migrate"],
        &["jobs", "stats"],
        &["search", "verify"],
        &["search", "verify", "--fix"],
        &["counts", "verify"],
        &["counts", "verify", "--fix"],
        &["search", "rebuild"],
    ];
    // Also on stores that were never used.
    fixture.confab(&["migrate"]).await.expect_code(0);

    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..10 {
        api.create_message(&chat, "hello").await;
    }
    let all: Vec<_> = (1..=10).collect();
    eventually_eq("search", all.clone(), async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    for command in commands {
        fixture.confab(command).await.expect_code(0);
    }
    eventually_eq("search after a rebuild", all.clone(), async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    drop(api);
    for command in commands {
        fixture.confab(command).await.expect_code(0);
    }
    let api = fixture.start().await;
    eventually_eq("search after another one", all, async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
    assert_eq!(api.messages_count(&chat).await, 10);
}

/// The number of waiting jobs of a kind, according to the command.
async fn waiting(fixture: &Fixture, kind: &str) -> u64 {
    let finished = fixture.confab(&["jobs", "stats", "--json"]).await;
    finished.expect_code(0);
    let stats: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
    assert!(stats.is_object(), "{finished:#?}");
    let kinds = stats["kinds"].as_array().expect("a list of kinds");
    let found = kinds.iter().find(|stats| stats["kind"] == kind);
    found.expect("every kind is listed")["waiting"]
        .as_u64()
        .expect("a number")
}

#[apply(on_each_backend!)]
async fn jobs_stats_reports_waiting_jobs(fixture: &Fixture) {
    let api = fixture
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..3 {
        api.create_message(&chat, "hello").await;
    }
    for _ in 0..2 {
        api.update_message(&chat, 1, "goodbye").await;
    }
    let kinds = [
        ("create_application", 1),
        ("create_chat", 1),
        ("create_message", 3),
        ("update_message", 2),
    ];
    for (kind, count) in kinds {
        assert_eq!(waiting(fixture, kind).await, count, "{kind}");
    }
    let text = fixture.confab(&["jobs", "stats"]).await;
    for (kind, _) in kinds {
        assert!(text.stdout.contains(kind), "{text:#?}");
    }
    drop(api);
    let _api = fixture.start().await;
    for (kind, _) in kinds {
        eventually_eq(kind, 0, async || waiting(fixture, kind).await).await;
    }
}

#[apply(on_each_backend!)]
async fn serve_without_migrating_works_after_migrate(fixture: &Fixture) {
    // Running it twice is allowed.
    for _ in 0..2 {
        fixture.confab(&["migrate"]).await.expect_code(0);
    }
    let applications = "SELECT COUNT(*) FROM applications";
    assert_eq!(fixture.stored_number(applications).await, Some(0));
    let api = fixture.spawn_as(&["serve", "--no-migrate"], &[]).await;
    api.wait_until_ready().await;
    let app = api.new_app().await;
    eventually("it is stored", async || {
        let count = fixture.stored_number(applications).await;
        if count == Some(1) { Ok(()) } else { Err(count) }
    })
    .await;
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "0");
}

#[apply(on_services!)]
async fn migrate_completes_an_interrupted_migration(fixture: &Fixture) {
    fixture.confab(&["migrate"]).await.expect_code(0);
    // The state after SIGKILL before the last statement: MySQL commits each statement of a migration.
    for sql in [
        "DROP TABLE index_build, state",
        "DELETE FROM __diesel_schema_migrations",
    ] {
        fixture.execute(sql).await;
    }
    fixture.confab(&["migrate"]).await.expect_code(0);
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "hello").await;
    eventually_eq("the message is found", vec![1], async || {
        api.search_numbers(&chat, "hello").await
    })
    .await;
}

#[apply(on_each_backend!)]
async fn unknown_command_is_rejected_with_the_usage(fixture: &Fixture) {
    for arguments in [
        &["sevre"][..],
        &["jobs", "statistics"],
        &["serve", "--prot"],
    ] {
        let finished = fixture.confab(arguments).await;
        finished.expect_code(2);
        assert!(finished.stderr.contains("Usage"), "{finished:#?}");
    }
}
