//! Keys and revocations in the stores.

use std::{collections::BTreeMap, time::Duration};

use confab::{
    domain::{
        AppId, Key, KeyId, KeyText, Timestamp,
        key::EXPIRED_KEPT,
        time::{Clock, from_millis},
    },
    stores::{
        Backend, CredentialChanges, KeyCreation, KeyLimits, KeyPage, StoredKey, UserRevocation,
    },
};

use crate::{
    support::{Fixture, apply, on_each_backend},
    test_stores::TestStores,
};

const LIMITS: KeyLimits = KeyLimits {
    total: 1000,
    per_application: 1000,
};

/// Every key, on one page.
const ALL: KeyPage = KeyPage {
    app: None,
    after: None,
    limit: 1000,
};

fn now() -> Timestamp {
    from_millis(Clock::default().now())
}

fn new_key(app: Option<AppId>) -> StoredKey {
    let text = KeyText::generate();
    let key = Key {
        id: text.id(),
        app,
        name: "a name".into(),
        read_only: false,
        created_at: now(),
        expires_at: None,
        last_used: None,
    };
    StoredKey::new(key, &text)
}

async fn create(backend: &Backend, app: Option<AppId>) -> StoredKey {
    let key = new_key(app);
    let created = backend.create_key(&key, LIMITS).await;
    assert_eq!(created, Ok(KeyCreation::Created));
    key
}

async fn changes(backend: &Backend, number: Option<u64>) -> CredentialChanges {
    let changes = backend.credential_changes(number, now(), 0).await;
    changes.expect("a response")
}

async fn revoke_user(backend: &Backend, app: AppId, user: &str, until: i64) -> i64 {
    let revocation = UserRevocation {
        app,
        user: user.into(),
        issued_until: until,
    };
    let revoked = backend.revoke_user(&revocation, 1000, 0).await;
    revoked.expect("a response").expect("below the limit")
}

fn ids(keys: &[Key]) -> Vec<KeyId> {
    keys.iter().map(|key| key.id).collect()
}

#[apply(on_each_backend!)]
async fn a_key_is_read_back_as_it_was_created(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let mut key = new_key(Some(AppId(7)));
    key.key.name = "Zoë's 🗝".into();
    key.key.read_only = true;
    key.key.expires_at = Some(now() + Duration::from_secs(60));
    let created = stores.backend.create_key(&key, LIMITS).await;
    assert_eq!(created, Ok(KeyCreation::Created));
    let installation = create(&stores.backend, None).await;
    assert_eq!(installation.signing_secret, None);
    for backend in [&stores.backend, &stores.open_again()] {
        let all = changes(backend, None).await;
        assert!(all.is_everything);
        for key in [&key, &installation] {
            assert!(all.keys.contains(key), "{all:?}");
        }
        let page = KeyPage {
            app: Some(AppId(7)),
            ..ALL
        };
        let listed = backend.keys(page, now()).await;
        assert_eq!(listed, Ok(vec![key.key.clone()]));
        assert_eq!(backend.keys(ALL, now()).await.map(|keys| keys.len()), Ok(2));
    }
}

#[apply(on_each_backend!)]
async fn changes_are_read_in_their_order_while_processes_change_keys(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let (first, second) = (&stores.backend, &stores.open_again());
    let change = async |backend: &Backend| {
        for number in 0..20 {
            let key = create(backend, Some(AppId(1))).await;
            if number % 2 == 0 {
                let revoked = backend.revoke_key(key.key.id, None, now()).await;
                assert_eq!(revoked, Ok(true));
            }
            revoke_user(backend, AppId(1), &format!("user {number}"), number).await;
        }
    };
    // Applies changes as a process does, until nothing changes any more.
    let follow = async |backend: &Backend, done: &std::sync::atomic::AtomicBool| {
        let (mut number, mut keys, mut users) = (0, BTreeMap::new(), BTreeMap::new());
        loop {
            let ends = done.load(std::sync::atomic::Ordering::SeqCst);
            let new = changes(backend, Some(number)).await;
            assert!(!new.is_everything && new.number >= number, "{new:?}");
            number = new.number;
            for key in new.keys {
                keys.insert(key.key.id, key.is_revoked);
            }
            for user in new.revocations {
                users.insert(user.user, user.issued_until);
            }
            if ends {
                return (keys, users);
            }
        }
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let work = async {
        let all = [first, second, first, second].map(change);
        futures_util::future::join_all(all).await;
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let ((), seen, other) = tokio::join!(work, follow(first, &done), follow(second, &done));
    assert_eq!(seen, other);
    let (keys, users) = seen;
    assert_eq!(keys.len(), 80);
    assert_eq!(keys.values().filter(|revoked| **revoked).count(), 40);
    assert_eq!(users.len(), 20);
    let listed = first.keys(ALL, now()).await.expect("a response");
    assert!(listed.iter().all(|key| keys.get(&key.id) == Some(&false)));
    assert_eq!(listed.len(), 40);
}

#[apply(on_each_backend!)]
async fn everything_is_read_after_the_numbers_were_set_back(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let kept = create(&stores.backend, None).await;
    let revoked = create(&stores.backend, None).await;
    let number = changes(&stores.backend, None).await.number;
    assert!(changes(&stores.backend, Some(number)).await.keys.is_empty());
    let id = revoked.key.id;
    assert_eq!(stores.backend.revoke_key(id, None, now()).await, Ok(true));
    let change = changes(&stores.backend, Some(number)).await;
    assert!(!change.is_everything && change.keys[0].is_revoked);

    // As a backup brings it back.
    let restored = format!(
        "UPDATE credential_changes SET number = {}",
        change.number - 1
    );
    fixture.execute(&restored).await;
    let all = changes(&stores.backend, Some(change.number)).await;
    assert!(all.is_everything, "{all:?}");
    assert_eq!((all.keys, all.number), (vec![kept], change.number - 1));
}

#[apply(on_each_backend!)]
async fn a_change_after_a_failover_has_a_new_number(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let key = create(&stores.backend, None).await;
    let number = changes(&stores.backend, None).await.number;
    create(&stores.backend, None).await;
    let lost = changes(&stores.backend, None).await.number;
    // As a replica that lacks the last change.
    let failover = format!("UPDATE credential_changes SET number = {number}");
    fixture.execute(&failover).await;
    let revoked = stores.backend.revoke_key(key.key.id, None, now()).await;
    assert_eq!(revoked, Ok(true));
    let seen = changes(&stores.backend, Some(lost)).await;
    assert_ne!(seen.number, lost);
    let is_found = seen.keys.iter().any(|seen| seen.key.id == key.key.id);
    assert!(is_found != seen.is_everything, "{seen:?}");
}

#[apply(on_each_backend!)]
async fn a_revoked_key_stays_revoked_and_keeps_no_secret(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let backend = &stores.backend;
    let key = create(backend, Some(AppId(1))).await;
    let id = key.key.id;
    let again = |is_revoked| Ok(KeyCreation::Exists { is_revoked });
    assert_eq!(backend.create_key(&key, LIMITS).await, again(false));
    let other = StoredKey {
        hash: [0; 32],
        ..key.clone()
    };
    assert_eq!(
        backend.create_key(&other, LIMITS).await,
        Ok(KeyCreation::Taken)
    );
    let secrets = "SELECT COUNT(signing_secret) FROM access_keys";
    assert_eq!(fixture.stored_number(secrets).await, Some(1));

    // Not by way of another application.
    let wrong = Some(AppId(2));
    assert_eq!(backend.revoke_key(id, wrong, now()).await, Ok(false));
    assert_eq!(backend.expire_key(id, wrong, None, now()).await, Ok(None));
    assert_eq!(
        backend.revoke_key(id, Some(AppId(1)), now()).await,
        Ok(true)
    );
    for app in [None, Some(AppId(1))] {
        assert_eq!(backend.revoke_key(id, app, now()).await, Ok(false));
        assert_eq!(backend.expire_key(id, app, None, now()).await, Ok(None));
    }
    assert_eq!(backend.create_key(&key, LIMITS).await, again(true));
    assert_eq!(fixture.stored_number(secrets).await, Some(0));
    assert_eq!(changes(backend, None).await.keys, []);
}

#[apply(on_each_backend!)]
async fn an_expired_key_is_known_for_a_week(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let backend = &stores.backend;
    let key = create(backend, None).await;
    let end = now() + Duration::from_secs(60);
    let expired = backend.expire_key(key.key.id, None, Some(end), now()).await;
    let expired = expired.expect("a response").expect("the key");
    assert_eq!(expired.expires_at, Some(end));
    let ids_at = async |time| {
        let all = backend.credential_changes(None, time, 0).await;
        let listed = backend.keys(ALL, time).await.expect("a response");
        let keys = all.expect("a response").keys;
        let keys: Vec<Key> = keys.into_iter().map(|key| key.key).collect();
        assert_eq!(keys, listed);
        ids(&listed)
    };
    let last = end + EXPIRED_KEPT - Duration::from_secs(1);
    assert_eq!(ids_at(last).await, [key.key.id]);
    assert_eq!(ids_at(last + Duration::from_secs(2)).await, []);
    let open = backend.expire_key(key.key.id, None, None, now()).await;
    assert_eq!(open, Ok(Some(key.key)));
}

#[apply(on_each_backend!)]
async fn keys_have_limits_for_an_application_and_in_all(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let backend = &stores.backend;
    let limits = KeyLimits {
        total: 3,
        per_application: 2,
    };
    let create = async |app| {
        let key = new_key(app);
        let created = backend.create_key(&key, limits).await;
        (created.expect("a response"), key.key.id)
    };
    let (one, two) = (Some(AppId(1)), Some(AppId(2)));
    let (created, first) = create(one).await;
    assert_eq!(created, KeyCreation::Created);
    assert_eq!(create(one).await.0, KeyCreation::Created);
    assert_eq!(create(one).await.0, KeyCreation::Full(2));
    assert_eq!(create(two).await.0, KeyCreation::Created);
    assert_eq!(create(two).await.0, KeyCreation::Full(3));
    assert_eq!(create(None).await.0, KeyCreation::Full(3));
    assert_eq!(backend.revoke_key(first, None, now()).await, Ok(true));
    assert_eq!(create(None).await.0, KeyCreation::Created);
}

#[apply(on_each_backend!)]
async fn keys_are_listed_in_pages_in_order_of_creation(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let mut created = Vec::new();
    for number in 0..7 {
        let app = (number % 2 == 0).then_some(AppId(1));
        created.push(create(&stores.backend, app).await.key);
    }
    created.sort_by_key(|key| (key.created_at, key.id));
    for app in [None, Some(AppId(1))] {
        let mut listed = Vec::new();
        loop {
            let page = KeyPage {
                app,
                after: listed.last().map(|key: &Key| key.id),
                limit: 2,
            };
            let page = stores.backend.keys(page, now()).await.expect("a response");
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        let expected = created.iter().filter(|key| app.is_none() || key.app == app);
        assert_eq!(listed, expected.cloned().collect::<Vec<_>>());
    }
}

#[apply(on_each_backend!)]
async fn revocations_of_users_are_exact_and_never_move_back(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let backend = &stores.backend;
    let app = AppId(1);
    // Texts that databases like to compare as equal.
    let users = [
        "alice",
        "alice ",
        "Alice",
        "álice",
        "a\u{301}lice",
        &"🗝".repeat(255),
    ];
    for (until, user) in (100..).zip(users) {
        assert_eq!(revoke_user(backend, app, user, until).await, until);
    }
    // A token that was signed since the last call was issued in the second after that.
    assert_eq!(revoke_user(backend, app, "alice", 50).await, 101);
    assert_eq!(revoke_user(backend, app, "alice", 101).await, 102);
    assert_eq!(revoke_user(backend, app, "alice", 200).await, 200);
    assert_eq!(revoke_user(backend, AppId(2), "alice", 1).await, 1);
    let all = changes(backend, None).await.revocations;
    let found: BTreeMap<(AppId, String), i64> = all
        .into_iter()
        .map(|found| ((found.app, found.user), found.issued_until))
        .collect();
    assert_eq!(found.len(), users.len() + 1);
    assert_eq!(found[&(app, "alice".into())], 200);
    assert_eq!(found[&(app, "alice ".into())], 101);
    assert_eq!(found[&(AppId(2), "alice".into())], 1);

    // Beyond the limit, only a user who is revoked already.
    let revoke = async |user: &str, limit, kept_since| {
        let revocation = UserRevocation {
            app,
            user: user.into(),
            issued_until: 300,
        };
        backend.revoke_user(&revocation, limit, kept_since).await
    };
    assert_eq!(revoke("bob", 6, 0).await, Ok(None));
    assert_eq!(revoke("Alice", 6, 0).await, Ok(Some(300)));
    // Old ones do not count, and are deleted.
    assert_eq!(revoke("bob", 6, 102).await, Ok(Some(300)));
    let young = backend.credential_changes(None, now(), 104).await;
    assert_eq!(young.map(|all| all.revocations.len()), Ok(5));
    assert_eq!(backend.prune_revocations(104).await, Ok(3));
    let left = changes(backend, None).await.revocations;
    let left: Vec<&str> = left.iter().map(|found| found.user.as_str()).collect();
    for (user, kept) in [("alice", true), ("alice ", false), ("bob", true)] {
        assert_eq!(left.contains(&user), kept, "{left:?}");
    }
}

#[apply(on_each_backend!)]
async fn uses_are_recorded_by_day(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let backend = &stores.backend;
    let used = create(backend, None).await.key.id;
    let unused = create(backend, None).await.key.id;
    let number = changes(backend, None).await.number;
    let last_used = async |id| {
        let keys = backend.keys(ALL, now()).await.expect("a response");
        let key = keys.into_iter().find(|key| key.id == id);
        key.expect("the key").last_used
    };
    let tomorrow = now() + Duration::from_secs(86_400);
    for time in [now(), tomorrow, now()] {
        assert_eq!(backend.record_key_uses(&[used], time).await, Ok(()));
    }
    assert_eq!(last_used(used).await, Some(tomorrow.date_naive()));
    assert_eq!(last_used(unused).await, None);
    // It is no change that processes must read.
    assert_eq!(changes(backend, None).await.number, number);
}
