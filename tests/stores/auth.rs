//! Credentials as a process knows them, beside other processes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use confab::{
    auth::{Auth, AuthError, NewKey},
    domain::{AppId, Entity, Error, KeyName, KeyText},
    telemetry::metrics,
};
use futures_util::future::join_all;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    support::{Fixture, Proxy, apply, eventually, on_each_backend, on_services},
    test_stores::TestStores,
};

/// Time after which a revocation holds in every process.
const HOLDS_AFTER: Duration = Duration::from_secs(1);

/// Number of revocations that are measured.
const ROUNDS: usize = 50;

fn new_key(app: Option<AppId>) -> NewKey {
    NewKey {
        app,
        name: KeyName::default(),
        read_only: false,
        expires_at: None,
    }
}

/// Starts what a process runs in the background, until the guard is dropped.
fn run(auth: &Arc<Auth>) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(auth.clone().run(stop.clone()));
    stop.drop_guard()
}

/// Repeats a check until it refuses. Fails if one that began after `HOLDS_AFTER` was accepted. Returns the time.
async fn refused_within(check: impl AsyncFn() -> bool) -> Duration {
    let revoked = Instant::now();
    loop {
        let began = revoked.elapsed();
        if !check().await {
            return revoked.elapsed();
        }
        assert!(
            began < HOLDS_AFTER,
            "accepted {began:?} after the revocation"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!(
        "{what}: {} revocations seen by another process after {:?} (median), {:?} (slowest)",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1],
    );
}

#[apply(on_each_backend!)]
async fn another_process_refuses_revoked_credentials_within_a_second(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let app = stores.new_app().await;
    let (one, other) = (stores.auth(&[]), stores.auth(&[]));
    let _running = [run(&one), run(&other)];
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (text, key) = one.create_key(&new_key(Some(app))).await.expect("a key");
        let accepted = other.caller(text.as_str()).await.expect("known at once");
        assert_eq!(accepted.key().expect("a key").key, key);
        one.revoke_key(app, key.id).await.expect("revoked");
        assert!(matches!(
            one.caller(text.as_str()).await,
            Err(AuthError::Invalid)
        ));
        times.push(refused_within(async || other.caller(text.as_str()).await.is_ok()).await);
    }
    print("keys", times);

    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let user = format!("user {round}");
        let revoked = async |auth: &Arc<Auth>| {
            let until = auth.issued_until(app, &user).await;
            until.expect("an answer")
        };
        assert_eq!(revoked(&other).await, None);
        let until = one.revoke_user(app, &user).await.expect("revoked");
        assert_eq!(revoked(&one).await, Some(until));
        times.push(refused_within(async || revoked(&other).await.is_none()).await);
    }
    print("users", times);
}

#[apply(on_each_backend!)]
async fn a_process_without_background_reads_looks_before_it_accepts(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let (one, other) = (stores.auth(&[]), stores.auth(&[]));
    let (text, key) = one.create_key(&new_key(None)).await.expect("a key");
    other.caller(text.as_str()).await.expect("accepted");
    let revoked = stores.backend.revoke_key(key.id, None, one.now()).await;
    assert_eq!(revoked, Ok(true));
    // As a process that was stopped meanwhile.
    refused_within(async || other.caller(text.as_str()).await.is_ok()).await;
}

#[apply(on_each_backend!)]
async fn keys_are_refused_for_their_reason(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let app = stores.new_app().await;
    let auth = stores.auth(&[]);
    let unknown = auth.create_key(&new_key(Some(AppId(app.0 ^ 1)))).await;
    assert!(matches!(unknown, Err(Error::NotFound(Entity::Application))));
    let (text, key) = auth.create_key(&new_key(Some(app))).await.expect("a key");
    let (installation, _) = auth.create_key(&new_key(None)).await.expect("a key");
    let signer = auth.signing_key(&key.id).await.expect("an application key");
    assert_eq!(signer.signing_secret(), Some(&text.signing_secret()));
    let no_signer = auth.signing_key(&installation.id()).await;
    assert!(matches!(no_signer, Err(AuthError::Invalid)));

    // The right ID with another secret.
    let other = KeyText::generate();
    let forged = other.as_str().replace(other.id().as_str(), key.id.as_str());
    let checked = &forged[..60];
    let checksum = base_62(crc32fast::hash(checked.as_bytes()));
    let forged = KeyText::parse(&format!("{checked}{checksum}")).expect("the form of a key");
    assert_eq!(forged.id(), key.id);
    assert!(matches!(
        auth.caller(forged.as_str()).await,
        Err(AuthError::Invalid)
    ));

    let now = auth.now();
    auth.expire_key(app, key.id, Some(now)).await.expect("set");
    assert!(matches!(
        auth.caller(text.as_str()).await,
        Err(AuthError::Expired)
    ));
    assert!(matches!(
        auth.caller(forged.as_str()).await,
        Err(AuthError::Invalid)
    ));
    auth.expire_key(app, key.id, None).await.expect("set");
    auth.caller(text.as_str()).await.expect("accepted again");
    auth.revoke_key(app, key.id).await.expect("revoked");
    assert!(matches!(
        auth.caller(text.as_str()).await,
        Err(AuthError::Invalid)
    ));
    let again = auth.revoke_key(app, key.id).await;
    assert!(matches!(again, Err(Error::KeyNotFound)));
}

fn base_62(mut rest: u32) -> String {
    let digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".as_bytes();
    let mut text = [b'0'; 6];
    for digit in text.iter_mut().rev() {
        *digit = digits[(rest % 62) as usize];
        rest /= 62;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Number of calls that have read changes of credentials in this test's process.
fn reads() -> u64 {
    let metrics = metrics::render();
    let line = metrics.lines().find(|line| {
        line.starts_with("confab_store_call_duration_seconds_count")
            && line.contains("\"credential_changes\"")
    });
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[apply(on_each_backend!)]
async fn a_million_unknown_keys_cost_few_reads(fixture: &Fixture) {
    const TASKS: usize = 10_000;
    const KEYS: usize = 100;

    let stores = TestStores::new(fixture).await;
    let auth = stores.auth(&[]);
    let (text, _) = auth.create_key(&new_key(None)).await.expect("a key");
    let (before, began) = (reads(), Instant::now());
    let attack = async |_| {
        for _ in 0..KEYS {
            let unknown = auth.caller(KeyText::generate().as_str()).await;
            assert!(matches!(unknown, Err(AuthError::Invalid)));
        }
    };
    join_all((0..TASKS).map(attack)).await;
    let (reads, time) = (reads() - before, began.elapsed());
    println!("{} unknown keys: {reads} reads in {time:?}", TASKS * KEYS);
    // Ten a second, and those of other tests of this process.
    assert!((1..10_000).contains(&reads), "{reads} reads");
    auth.caller(text.as_str()).await.expect("accepted");
}

#[apply(on_services!)]
async fn unknown_keys_of_callers_that_stop_waiting_cost_few_reads(fixture: &Fixture) {
    const CALLERS: u64 = 200;

    let stores = TestStores::new(fixture).await;
    let mut proxy = Proxy::refusing(&fixture.services().mysql_url);
    proxy.open().await;
    let url = proxy.url();
    let auth = stores.auth(&[("CONFAB_SERVICES__MYSQL_URL", url.as_str())]);
    let (text, _) = auth.create_key(&new_key(None)).await.expect("a key");
    let before = reads();
    proxy.hang();
    for _ in 0..CALLERS {
        // As a client that resets its connection while the key is looked up.
        let unknown = KeyText::generate();
        let stops = Duration::from_millis(10);
        let outcome = tokio::time::timeout(stops, auth.caller(unknown.as_str())).await;
        assert!(!matches!(outcome, Ok(Ok(_))), "{outcome:?}");
    }
    proxy.resume();
    eventually("the key is accepted", async || {
        auth.caller(text.as_str()).await
    })
    .await;
    let reads = reads() - before;
    println!("{CALLERS} unknown keys: {reads} reads");
    // Those of other tests of this process count, too.
    assert!(reads < CALLERS / 2, "{reads} reads");
}

#[apply(on_services!)]
async fn a_process_without_its_database_refuses_after_the_grace(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let mut proxy = Proxy::refusing(&fixture.services().mysql_url);
    proxy.open().await;
    let url = proxy.url();
    let settings = [
        ("CONFAB_SERVICES__MYSQL_URL", url.as_str()),
        ("CONFAB_AUTH__GRACE_S", "8"),
    ];
    let (one, cut) = (stores.auth(&[]), stores.auth(&settings));
    let _running = run(&cut);
    let (text, key) = one.create_key(&new_key(None)).await.expect("a key");
    let (revoked, revoked_key) = one.create_key(&new_key(None)).await.expect("a key");
    cut.caller(text.as_str()).await.expect("accepted");
    for hangs in [false, true] {
        match hangs {
            true => proxy.hang(),
            false => proxy.cut().await,
        }
        let began = Instant::now();
        let (mut accepted, mut slow, mut slowest) = (0, 0, Duration::ZERO);
        let time = loop {
            let asked = Instant::now();
            match cut.caller(text.as_str()).await {
                Ok(_) => accepted += 1,
                Err(AuthError::Unavailable(_)) => break began.elapsed(),
                other => panic!("{other:?}"),
            }
            let took = asked.elapsed();
            slow += u32::from(took > Duration::from_millis(500));
            slowest = slowest.max(took);
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        println!("hangs: {hangs}: {accepted} accepted, one for {slowest:?}; closed after {time:?}");
        assert!(time > Duration::from_secs(7), "{time:?}");
        // Only those that found the last read too old before an attempt had failed.
        assert!(slow <= 2, "{slow} accepted keys had to wait");
        // A key that is unknown here may have been created meanwhile.
        let unknown = cut.caller(KeyText::generate().as_str()).await;
        assert!(matches!(unknown, Err(AuthError::Unavailable(_))));
        if hangs {
            let id = revoked_key.id;
            let done = stores.backend.revoke_key(id, None, one.now()).await;
            assert_eq!(done, Ok(true));
            proxy.resume();
        } else {
            proxy.open().await;
        }
        eventually("the key is accepted again", async || {
            let accepted = cut.caller(text.as_str()).await;
            accepted.map(|accepted| assert_eq!(accepted.key().expect("a key").key.id, key.id))
        })
        .await;
    }
    // It was revoked during the outage, and has not been accepted since.
    assert!(matches!(
        cut.caller(revoked.as_str()).await,
        Err(AuthError::Invalid)
    ));
}

#[apply(on_each_backend!)]
async fn a_first_key_is_stored_once_and_stays_revoked(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let text = KeyText::generate();
    for _ in 0..2 {
        let auth = stores.auth_with_first_key(&text);
        let caller = auth.caller(text.as_str()).await;
        let caller = caller.expect("accepted at once");
        assert_eq!(caller.key().expect("a key").key.app, None);
    }
    let auth = stores.auth(&[]);
    auth.caller(text.as_str()).await.expect("known by others");
    let revoked = stores.backend.revoke_key(text.id(), None, auth.now()).await;
    assert_eq!(revoked, Ok(true));
    let auth = stores.auth_with_first_key(&text);
    assert!(matches!(
        auth.caller(text.as_str()).await,
        Err(AuthError::Invalid)
    ));
}

#[apply(on_services!)]
async fn a_first_key_that_cannot_be_stored_delays_no_other(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let first = KeyText::generate();
    let one = stores.auth(&[]);
    let (text, _) = one.create_key(&new_key(None)).await.expect("a key");
    let number = fixture.stored_number("SELECT number FROM credential_changes");
    let number = number.await.expect("a number");
    // As a database that can only be read.
    let refuse =
        format!("ALTER TABLE credential_changes ADD CONSTRAINT fixed CHECK (number = {number})");
    fixture.execute(&refuse).await;
    let other = stores.auth_with_first_key(&first);
    let _running = run(&other);
    other.caller(text.as_str()).await.expect("accepted");
    let refused = other.caller(first.as_str()).await;
    assert!(matches!(refused, Err(AuthError::Invalid)), "{refused:?}");
    let accept = "ALTER TABLE credential_changes DROP CONSTRAINT fixed";
    fixture.execute(accept).await;
    eventually("the first key is accepted", async || {
        other.caller(first.as_str()).await
    })
    .await;
}

#[apply(on_each_backend!)]
async fn uses_of_keys_are_recorded_in_the_background(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let app = stores.new_app().await;
    let auth = stores.auth(&[]);
    let running = run(&auth);
    let (text, _) = auth.create_key(&new_key(Some(app))).await.expect("a key");
    auth.caller(text.as_str()).await.expect("accepted");
    // At the end of the process, at the latest.
    drop(running);
    let today = auth.now().date_naive();
    eventually("the use is recorded", async || {
        let keys = auth.keys(app).await.expect("a response");
        let used = keys[0].last_used;
        if used.is_some_and(|day| day >= today) {
            Ok(())
        } else {
            Err(used)
        }
    })
    .await;
}
