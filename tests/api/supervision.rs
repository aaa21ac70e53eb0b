//! Workers that die, fail or stand still, at a step that the test names (`src/breakpoint.rs`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    readiness::{becomes, named},
    shutdown::exit_code,
    support::{Process, Site, eventually, on_each_backing, on_services, settles},
};

/// What the dead held is taken over soon, and a step may take a second.
const SOON: [(&str, &str); 2] = [
    ("CONFAB_WORKERS__LEASE_MS", "2000"),
    ("CONFAB_WORKERS__STALL_MS", "1000"),
];

/// A process with a planned failure.
async fn start_to_fail(site: &Site, plan: &str) -> Process {
    let plan = ("CONFAB_TEST_BREAK", plan);
    site.start_with(&[SOON.as_slice(), &[plan]].concat()).await
}

async fn a_worker_that_panics_is_started_again_and_goes_on(site: &Site) {
    for step in ["claimed", "before_commit", "before_acknowledge"] {
        let api = start_to_fail(site, &format!("{step}:3:panic")).await;
        let app = api.new_app().await;
        let chat = api.new_chat(&app).await;
        eventually("the planned panic", async || {
            api.say(&chat, "hello").await;
            let output = api.output();
            if output.contains("planned failure") {
                Ok(())
            } else {
                Err(output)
            }
        })
        .await;
        let told = api.say(&chat, "hello again").await;
        settles("all is stored and counted", json!(told), async || {
            api.messages_count(&chat).await
        })
        .await;
        let kinds = ["create_application", "create_chat", "create_message"];
        // A panic in the file's own thread is an error to the worker.
        let expected = u64::from(step != "before_commit" || site.processes() > 1);
        // It has ended only when all of its panic is written, which may take longer than what the others do meanwhile.
        settles("its restarts are told", Some(expected), async || {
            let ready = becomes(&api, 200, "ready").await;
            let restarts = |worker| named(&ready, "workers", worker)["restarts"].as_u64();
            kinds.into_iter().map(restarts).sum()
        })
        .await;
    }
}

async fn a_worker_that_stands_still_is_seen_by_readiness(site: &Site) {
    let api = start_to_fail(site, "claimed:1:stall").await;
    becomes(&api, 200, "ready").await;
    let app = api.new_app().await;
    let told = becomes(&api, 503, "unavailable").await;
    let worker = named(&told, "workers", "create_application");
    assert!(worker["stalled_ms"].as_u64() >= Some(1000), "{told:#}");
    // Nothing is lost by it.
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "0");
    drop(api);
    let _api = site.start_with(&SOON).await;
    settles("it is stored", Some(1), async || {
        site.stored_number("SELECT COUNT(*) FROM applications")
            .await
    })
    .await;
}

async fn a_second_signal_ends_it_at_once(site: &Site) {
    let mut api = start_to_fail(site, "claimed:1:stall").await;
    let app = api.new_app().await;
    eventually("the batch is in hand", async || {
        let output = api.output();
        if output.contains("planned failure") {
            Ok(())
        } else {
            Err(output)
        }
    })
    .await;
    api.signal("TERM");
    eventually("nobody new is let in", async || {
        match api.try_get("/up").await {
            Ok(answer) => Err(answer),
            Err(_) => Ok(()),
        }
    })
    .await;
    assert!(api.ended().is_none(), "the batch in hand is not finished");
    api.signal("TERM");
    assert_eq!(exit_code(&mut api).await, Some(1));
    let api = site.start_with(&SOON).await;
    settles("it is stored", Some(1), async || {
        site.stored_number("SELECT COUNT(*) FROM applications")
            .await
    })
    .await;
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "0");
}

async fn what_was_claimed_ahead_is_given_back_when_a_batch_fails(site: &Site) {
    const SAID: u64 = 10;
    let api = site.start().await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    settles("the chat is stored", 0, async || left(site).await).await;
    drop(api);
    let api = site
        .start_with(&[("CONFAB_WORKERS__ENABLED", "false")])
        .await;
    for _ in 0..SAID {
        api.say(&chat, "hello").await;
    }
    drop(api);
    let settings = [
        ("CONFAB_WORKERS__BATCH", "2"),
        // Far longer than is waited for it here.
        ("CONFAB_WORKERS__LEASE_MS", "300000"),
        ("CONFAB_TEST_BREAK", "between_batches:1:error"),
    ];
    let api = site.start_with(&settings).await;
    settles("all is stored", 0, async || left(site).await).await;
    assert!(api.output().contains("planned failure"));
    settles("all is counted", json!(SAID), async || {
        api.messages_count(&chat).await
    })
    .await;
}

/// How many jobs wait, or are in a worker's hands.
async fn left(site: &Site) -> u64 {
    let finished = site.confab(&["jobs", "stats", "--json"]).await;
    let told: Value = serde_json::from_str(&finished.stdout).expect("one JSON object");
    let kinds = told["kinds"].as_array().expect("a list").iter();
    let counts = kinds.flat_map(|kind| ["waiting", "leased"].map(|state| kind[state].as_u64()));
    counts.sum::<Option<u64>>().expect("numbers")
}

async fn what_a_dead_process_held_is_taken_over_at_the_default_lease(site: &Site) {
    // A lease of 30 s, and a look at all leases every tenth of it.
    const LIMIT: Duration = Duration::from_secs(35);
    let survivor = site.start().await;
    let plan = ("CONFAB_TEST_BREAK", "claimed:1:stall");
    let victim = loop {
        let victim = site.start_with(&[plan]).await;
        let has_a_batch = async || victim.output().contains("planned failure");
        // Each process rings its own bell, so that it is mostly the first to claim what it accepted.
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
    let (app, died) = (victim.new_app().await, Instant::now());
    victim.kill();
    assert!(left(site).await > 0, "the dead process held nothing");
    while left(site).await > 0 {
        assert!(died.elapsed() < LIMIT, "it is still held by the dead");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(survivor.get(&app).await.text_field("ChatsCount"), "0");
}

on_services!(what_a_dead_process_held_is_taken_over_at_the_default_lease);

on_each_backing!(
    a_worker_that_panics_is_started_again_and_goes_on,
    a_worker_that_stands_still_is_seen_by_readiness,
    a_second_signal_ends_it_at_once,
    what_was_claimed_ahead_is_given_back_when_a_batch_fails,
);
