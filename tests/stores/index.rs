//! The search index as the index worker, `search verify` and `search rebuild` use it.

use confab::{
    domain::{Message, MessageKey},
    maintenance::{Problem, unwatched},
    stores::{Error, IndexState},
};

use crate::{
    support::{Fixture, Proxy, apply, on_each_backend, on_services},
    test_stores::{TestStores, WHOLE_LIST, revision},
};

/// Creates a chat with these messages, stored and indexed.
async fn chat_of(stores: &TestStores, texts: &[&str]) -> Vec<MessageKey> {
    let chat = stores.new_chat().await;
    let mut keys = Vec::new();
    for text in texts {
        keys.push(stores.create_message(chat, text).await);
    }
    stores.drain().await;
    keys
}

#[apply(on_each_backend!)]
async fn update_replaces_the_searchable_text(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let key = chat_of(&stores, &["an old text"]).await[0];
    stores.update_message(key, "a new one").await;
    stores.drain().await;
    assert_eq!(
        stores.search_numbers(key.chat, "old", &WHOLE_LIST).await,
        [0; 0]
    );
    assert_eq!(
        stores.search_numbers(key.chat, "new", &WHOLE_LIST).await,
        [1]
    );
    let hits = stores
        .backend
        .search(key.chat, &query("new"), &WHOLE_LIST)
        .await;
    assert_eq!(hits, Ok(vec![stores.stored(key).await.expect("stored")]));
}

/// An index of version 1 has neither field, and refuses documents with unknown fields.
#[apply(on_services!)]
async fn index_of_an_older_version_gets_sender_and_data(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let key = chat_of(&stores, &["hello"]).await[0];
    let elasticsearch = fixture.services().elasticsearch();
    let indices = elasticsearch.indices().await.expect("a response");
    let mut mapping = elasticsearch.mapping(&indices[0]).await;
    mapping["_meta"]["version"] = 1.into();
    let fields = mapping["properties"].as_object_mut().expect("fields");
    for field in ["sender", "data"] {
        assert!(fields.remove(field).is_some(), "{field}");
    }
    elasticsearch.remove_indices().await.expect("removed");
    let older = elasticsearch.create_index("-1", &mapping).await;
    elasticsearch.use_index(&older).await;

    let message = Message {
        sender: Some("alice".into()),
        data: Some(r#"{"b":1.0,"a":[]}"#.into()),
        ..stores.stored(key).await.expect("stored")
    };
    let put = [message.clone()];
    assert_eq!(stores.backend.put_documents(None, &put).await, Ok(vec![]));
    stores.refresh().await;
    let hits = stores
        .backend
        .search(key.chat, &query("hello"), &WHOLE_LIST)
        .await;
    assert_eq!(hits, Ok(vec![message]));
    let state = stores.backend.index_state().await;
    assert_eq!(state, Ok(IndexState::Outdated));
}

#[apply(on_each_backend!)]
async fn outdated_document_changes_nothing(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let key = chat_of(&stores, &["the newest text"]).await[0];
    let newest = stores.stored(key).await.expect("stored");
    let older = Message {
        text: "an older text".into(),
        revision: revision(&newest, -1),
        ..newest.clone()
    };
    let refused = stores
        .backend
        .put_documents(None, &[older, newest.clone()])
        .await;
    assert_eq!(refused, Ok(vec![]));
    stores.refresh().await;
    assert_eq!(
        stores.search_numbers(key.chat, "newest", &WHOLE_LIST).await,
        [1]
    );
    assert_eq!(
        stores.search_numbers(key.chat, "older", &WHOLE_LIST).await,
        [0; 0]
    );
    let revisions = stores.backend.document_revisions(&[key]).await;
    assert_eq!(revisions, Ok(vec![Some(newest.revision)]));
}

#[apply(on_each_backend!)]
async fn every_document_can_be_scanned(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let mut keys = chat_of(&stores, &["one", "two", "three"]).await;
    keys.extend(chat_of(&stores, &["four"]).await);
    keys.sort();
    let mut found = Vec::new();
    loop {
        let step = stores
            .backend
            .scan_documents(found.last().copied(), 2)
            .await
            .expect("a response");
        if step.is_empty() {
            break;
        }
        found.extend(step);
    }
    assert_eq!(found, keys);
}

#[apply(on_each_backend!)]
async fn missing_document_is_detected_and_restored(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let keys = chat_of(&stores, &["one", "two"]).await;
    let verify = async || {
        let report = stores.maintenance().verify_index(false, &unwatched).await;
        report.expect("a report")
    };
    assert_eq!(verify().await.findings, []);
    let removed = stores.backend.remove_documents(&keys[..1]).await;
    removed.expect("removed");
    stores.refresh().await;
    let report = verify().await;
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].key, keys[0]);
    assert_eq!(report.findings[0].problem, Problem::Missing);
}

#[apply(on_each_backend!)]
async fn rebuilt_index_returns_the_same_hits(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let key = chat_of(&stores, &["one needle", "hay", "another needle"]).await[0];
    let rebuilt = stores.maintenance().rebuild_index(&unwatched).await;
    assert_eq!(rebuilt.map(|rebuilt| rebuilt.messages), Ok(3));
    assert_eq!(
        stores.search_numbers(key.chat, "needle", &WHOLE_LIST).await,
        [1, 3]
    );
    stores.create_message(key.chat, "a third needle").await;
    stores.drain().await;
    assert_eq!(
        stores.search_numbers(key.chat, "needle", &WHOLE_LIST).await,
        [1, 3, 4]
    );
}

#[apply(on_services!)]
async fn rebuild_adds_messages_stored_during_it_to_the_new_index(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let services = stores.services().expect("the services");
    let (mysql, index) = (&services.mysql, &services.elasticsearch);
    let old = index.in_use().await.expect("a response").expect("an index");
    let key = chat_of(&stores, &["before"]).await[0];
    let target = stores.backend.begin_build().await.expect("begun");
    assert_ne!(target, old);
    stores.create_message(key.chat, "meanwhile").await;
    let batch = stores.claim(confab::domain::Kind::CreateMessage).await;
    stores.store(&batch).await.expect("stored");
    let outbox = mysql.outbox(None, 10).await.expect("an outbox");
    assert_eq!(outbox.build_target.as_deref(), Some(&*target));
    assert_eq!(outbox.messages.len(), 1);
    index
        .put(Some(&target), &outbox.messages)
        .await
        .expect("put");
    stores.backend.finish_build(&target).await.expect("swapped");
    assert_eq!(index.in_use().await, Ok(Some(target)));
    assert_eq!(
        stores
            .search_numbers(key.chat, "meanwhile", &WHOLE_LIST)
            .await,
        [2]
    );
    assert_eq!(
        stores.search_numbers(key.chat, "before", &WHOLE_LIST).await,
        [0; 0]
    );
}

#[apply(on_services!)]
async fn writes_do_not_create_a_deleted_index(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let key = chat_of(&stores, &["hello"]).await[0];
    let message = stores.stored(key).await.expect("stored");
    fixture
        .services()
        .elasticsearch()
        .remove_indices()
        .await
        .expect("removed");
    let index = &stores.services().expect("the services").elasticsearch;
    let missing = |error| matches!(error, Error::IndexMissing(_));
    let name = "x-1".to_owned();
    assert!(missing(
        index
            .put(None, std::slice::from_ref(&message))
            .await
            .expect_err("no index")
    ));
    assert!(missing(
        index
            .put(Some(&name), &[message])
            .await
            .expect_err("no index")
    ));
    assert!(missing(
        stores
            .backend
            .search(key.chat, &query("hello"), &WHOLE_LIST)
            .await
            .expect_err("no index")
    ));
    assert_eq!(index.in_use().await, Ok(None));
}

/// A busy disk makes writes slow. Cancelling and repeating them would make them slower.
#[apply(on_services!)]
async fn write_timeout_is_longer_than_read_timeout(fixture: &Fixture) {
    let mut proxy = Proxy::refusing(&fixture.services().elasticsearch_url);
    proxy.open().await;
    let stores = TestStores::new(fixture).await;
    let key = chat_of(&stores, &["hello"]).await[0];
    let message = stores.stored(key).await.expect("stored");
    let slow = stores.open_with(&[
        ("CONFAB_SERVICES__ELASTICSEARCH_URL", &proxy.url()),
        ("CONFAB_SERVICES__TIMEOUT_MS", "200"),
    ]);
    proxy.hang();
    let messages = [message];
    let put = slow.put_documents(None, &messages);
    let read = async {
        let read = slow.search(key.chat, &query("hello"), &WHOLE_LIST).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
        proxy.resume();
    };
    let (put, ()) = tokio::join!(put, read);
    assert_eq!(put, Ok(vec![]));
}

fn query(text: &str) -> confab::domain::text::Query {
    confab::domain::text::Query::parse(text)
}
