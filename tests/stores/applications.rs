//! The list of applications.

use confab::{
    domain::{
        AppId, Revision, Write,
        application::{ApplicationsListing, ApplicationsPage},
    },
    stores::Backend,
};

use crate::{
    support::{Fixture, apply, on_each_backend, on_services},
    test_stores::TestStores,
};

async fn list(backend: &Backend, page: ApplicationsPage) -> ApplicationsListing {
    let read = backend.applications(&page).await.expect("a response");
    assert!(!read.stale);
    read.value
}

fn page(limit: usize) -> ApplicationsPage {
    ApplicationsPage {
        after: None,
        before: None,
        limit,
    }
}

fn ids(listing: &ApplicationsListing) -> Vec<AppId> {
    let items = listing.items.iter();
    items.map(|item| item.application.id).collect()
}

/// Follows the list to its end, in pages of `limit`.
async fn forward(backend: &Backend, limit: usize) -> Vec<AppId> {
    let mut found = Vec::new();
    let mut next = page(limit);
    loop {
        let listing = list(backend, next).await;
        assert!(listing.items.len() <= limit);
        found.extend(ids(&listing));
        match listing.next {
            Some(after) => next.after = Some(after),
            None => return found,
        }
    }
}

#[apply(on_each_backend!)]
async fn queued_and_stored_applications_are_listed_in_order(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let (first, second) = (&stores.backend, &stores.open_again());
    assert_eq!(forward(second, 10).await, []);
    let mut created = Vec::new();
    for round in 0..3 {
        for _ in 0..5 {
            created.push(stores.new_app().await);
        }
        stores.number(Write::create_chat(created[0])).await;
        for backend in [first, second] {
            for limit in [1, 2, 100] {
                assert_eq!(forward(backend, limit).await, created);
            }
            let listing = list(backend, page(1)).await;
            assert_eq!(listing.items[0].chats, round + 1);
            assert_eq!(listing.items[0].application.username, "Shetewi");
        }
        // The last round stays queued.
        if round < 2 {
            stores.drain().await;
        }
    }
    // Backwards, from the third of the queued ones on.
    let all = list(first, page(100)).await;
    let mut before = Some(all.items[12].position());
    let mut found = Vec::new();
    while before.is_some() {
        let previous = ApplicationsPage { before, ..page(5) };
        let listing = list(first, previous).await;
        assert!(listing.next.is_some());
        found.splice(0..0, ids(&listing));
        before = listing.previous;
    }
    assert_eq!(found, created[..12]);
}

#[apply(on_each_backend!)]
async fn pages_return_each_application_once_while_others_are_created(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let follower = stores.open_again();
    let done = std::sync::atomic::AtomicBool::new(false);
    let create = async {
        let mut created = Vec::new();
        for round in 0..60 {
            created.push(stores.new_app().await);
            if round % 3 == 0 {
                stores.drain().await;
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        created
    };
    let follow = async {
        let (mut next, mut found) = (page(3), Vec::new());
        loop {
            let ends = done.load(std::sync::atomic::Ordering::SeqCst);
            let listing = list(&follower, next).await;
            found.extend(ids(&listing));
            // At the end, what follows the last item is what comes next.
            if let Some(last) = listing.items.last() {
                next.after = Some(last.position());
            } else if ends {
                return found;
            }
        }
    };
    let (created, found) = tokio::join!(create, follow);
    assert_eq!(found, created);
}

#[apply(on_each_backend!)]
async fn page_before_the_end_holds_the_last_queued_application(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let created = [stores.new_app().await, stores.new_app().await];
    let last = list(&stores.backend, page(10)).await.items[1].position();
    let end = ApplicationsPage {
        after: Some(last),
        ..page(10)
    };
    let empty = list(&stores.backend, end).await;
    assert_eq!(ids(&empty), []);
    let back = ApplicationsPage {
        before: empty.previous,
        ..page(10)
    };
    assert_eq!(ids(&list(&stores.backend, back).await), created);
}

#[apply(on_services!)]
async fn queued_chats_are_counted_after_an_epoch_began(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let app = stores.new_app().await;
    stores.drain().await;
    for _ in 0..3 {
        stores.number(Write::create_chat(app)).await;
    }
    let redis = &stores.services().expect("the services").redis;
    let begun = redis.raise_revisions(Revision(1 << 50)).await;
    begun.expect("a new epoch");
    assert_eq!(list(&stores.backend, page(10)).await.items[0].chats, 3);
}
