//! The commands of an operator, on healthy stores, beside a running process and without one.

use serde_json::Value;

use crate::support::{Site, eventually, on_each_backing, on_services, settles};

async fn every_command_is_content_with_healthy_stores(site: &Site) {
    let commands: [&[&str]; 7] = [
        &["migrate"],
        &["jobs", "stats"],
        &["search", "verify"],
        &["search", "verify", "--fix"],
        &["counts", "verify"],
        &["counts", "verify", "--fix"],
        &["search", "rebuild"],
    ];
    // On stores that nobody ever used, too.
    site.confab(&["migrate"]).await.expect_code(0);

    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..10 {
        api.say(&chat, "hello").await;
    }
    let all: Vec<_> = (1..=10).collect();
    settles("search", all.clone(), async || {
        api.found(&chat, "hello").await
    })
    .await;
    for command in commands {
        site.confab(command).await.expect_code(0);
    }
    settles("search after a rebuild", all.clone(), async || {
        api.found(&chat, "hello").await
    })
    .await;
    drop(api);
    for command in commands {
        site.confab(command).await.expect_code(0);
    }
    let api = site.start().await;
    settles("search after another one", all, async || {
        api.found(&chat, "hello").await
    })
    .await;
    assert_eq!(api.messages_count(&chat).await, 10);
}

/// How many jobs of a kind wait, as the command tells it.
async fn waiting(site: &Site, kind: &str) -> u64 {
    let finished = site.confab(&["jobs", "stats", "--json"]).await;
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

async fn jobs_stats_tells_what_waits(site: &Site) {
    let api = site
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    let chat = api.new_app_and_chat().await;
    for _ in 0..3 {
        api.say(&chat, "hello").await;
    }
    for _ in 0..2 {
        api.change(&chat, 1, "goodbye").await;
    }
    let kinds = [
        ("create_application", 1),
        ("create_chat", 1),
        ("create_message", 3),
        ("update_message", 2),
    ];
    for (kind, count) in kinds {
        assert_eq!(waiting(site, kind).await, count, "{kind}");
    }
    let text = site.confab(&["jobs", "stats"]).await;
    for (kind, _) in kinds {
        assert!(text.stdout.contains(kind), "{text:#?}");
    }
    drop(api);
    let _api = site.start().await;
    for (kind, _) in kinds {
        settles(kind, 0, async || waiting(site, kind).await).await;
    }
}

async fn migrate_makes_a_database_that_serve_need_not_touch(site: &Site) {
    // Twice is as good as once.
    for _ in 0..2 {
        site.confab(&["migrate"]).await.expect_code(0);
    }
    let applications = "SELECT COUNT(*) FROM applications";
    assert_eq!(site.stored_number(applications).await, Some(0));
    let api = site.spawn_as(&["serve", "--no-migrate"], &[]).await;
    api.ready().await;
    let app = api.new_app().await;
    eventually("it is stored", async || {
        let count = site.stored_number(applications).await;
        if count == Some(1) { Ok(()) } else { Err(count) }
    })
    .await;
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "0");
}

async fn migrate_finishes_what_a_killed_process_began(site: &Site) {
    site.confab(&["migrate"]).await.expect_code(0);
    // MySQL commits each statement of a migration by itself: this is what a kill -9 before the last one leaves.
    for sql in [
        "DROP TABLE index_build",
        "DELETE FROM __diesel_schema_migrations",
    ] {
        site.execute(sql).await;
    }
    site.confab(&["migrate"]).await.expect_code(0);
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "hello").await;
    settles("the message is found", vec![1], async || {
        api.found(&chat, "hello").await
    })
    .await;
}

async fn an_unknown_command_is_refused_with_the_usage(site: &Site) {
    for arguments in [
        &["sevre"][..],
        &["jobs", "statistics"],
        &["serve", "--prot"],
    ] {
        let finished = site.confab(arguments).await;
        finished.expect_code(2);
        assert!(finished.stderr.contains("Usage"), "{finished:#?}");
    }
}

on_each_backing!(
    every_command_is_content_with_healthy_stores,
    jobs_stats_tells_what_waits,
    migrate_makes_a_database_that_serve_need_not_touch,
    an_unknown_command_is_refused_with_the_usage,
);

on_services!(migrate_finishes_what_a_killed_process_began);
