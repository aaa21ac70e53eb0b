//! [`SearchIndex`](confab::stores::Backend) as the index worker, `search verify` and `search rebuild` use it.

use confab::{
    domain::{Message, MessageKey},
    maintenance::{Problem, unwatched},
    stores::Error,
};

use crate::{
    rig::{ALL, Rig, revision},
    support::{Proxy, Site, on_each_backing, on_services},
};

/// A chat with these messages, stored and indexed.
async fn chat_of(rig: &Rig, texts: &[&str]) -> Vec<MessageKey> {
    let chat = rig.new_chat().await;
    let mut keys = Vec::new();
    for text in texts {
        keys.push(rig.say(chat, text).await);
    }
    rig.drain().await;
    keys
}

async fn an_update_replaces_what_was_found(site: &Site) {
    let rig = Rig::new(site).await;
    let key = chat_of(&rig, &["an old text"]).await[0];
    rig.change(key, "a new one").await;
    rig.drain().await;
    assert_eq!(rig.found(key.chat, "old", &ALL).await, [0; 0]);
    assert_eq!(rig.found(key.chat, "new", &ALL).await, [1]);
    let hits = rig.backend.search(key.chat, &query("new"), &ALL).await;
    assert_eq!(hits, Ok(vec![rig.stored(key).await.expect("stored")]));
}

async fn what_is_put_late_changes_nothing(site: &Site) {
    let rig = Rig::new(site).await;
    let key = chat_of(&rig, &["the newest text"]).await[0];
    let newest = rig.stored(key).await.expect("stored");
    let older = Message {
        text: "an older text".into(),
        revision: revision(&newest, -1),
        ..newest.clone()
    };
    let refused = rig
        .backend
        .put_documents(None, &[older, newest.clone()])
        .await;
    assert_eq!(refused, Ok(vec![]));
    rig.refresh().await;
    assert_eq!(rig.found(key.chat, "newest", &ALL).await, [1]);
    assert_eq!(rig.found(key.chat, "older", &ALL).await, [0; 0]);
    let revisions = rig.backend.document_revisions(&[key]).await;
    assert_eq!(revisions, Ok(vec![Some(newest.revision)]));
}

async fn everything_indexed_can_be_gone_through(site: &Site) {
    let rig = Rig::new(site).await;
    let mut keys = chat_of(&rig, &["one", "two", "three"]).await;
    keys.extend(chat_of(&rig, &["four"]).await);
    keys.sort();
    let mut found = Vec::new();
    loop {
        let step = rig
            .backend
            .scan_documents(found.last().copied(), 2)
            .await
            .expect("an answer");
        if step.is_empty() {
            break;
        }
        found.extend(step);
    }
    assert_eq!(found, keys);
}

async fn a_document_that_is_gone_is_missed_and_put_back(site: &Site) {
    let rig = Rig::new(site).await;
    let keys = chat_of(&rig, &["one", "two"]).await;
    let verify = async || {
        let report = rig.maintenance().verify_index(false, &unwatched).await;
        report.expect("a report")
    };
    assert_eq!(verify().await.findings, []);
    let removed = rig.backend.remove_documents(&keys[..1]).await;
    removed.expect("removed");
    rig.refresh().await;
    let report = verify().await;
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].key, keys[0]);
    assert_eq!(report.findings[0].problem, Problem::Missing);
}

async fn a_rebuilt_index_finds_the_same(site: &Site) {
    let rig = Rig::new(site).await;
    let key = chat_of(&rig, &["one needle", "hay", "another needle"]).await[0];
    let rebuilt = rig.maintenance().rebuild_index(&unwatched).await;
    assert_eq!(rebuilt.map(|rebuilt| rebuilt.messages), Ok(3));
    assert_eq!(rig.found(key.chat, "needle", &ALL).await, [1, 3]);
    rig.say(key.chat, "a third needle").await;
    rig.drain().await;
    assert_eq!(rig.found(key.chat, "needle", &ALL).await, [1, 3, 4]);
}

async fn a_rebuild_puts_what_is_stored_meanwhile_into_the_new_index(site: &Site) {
    let rig = Rig::new(site).await;
    let services = rig.services().expect("the services");
    let (mysql, index) = (&services.mysql, &services.elasticsearch);
    let old = index.in_use().await.expect("an answer").expect("an index");
    let key = chat_of(&rig, &["before"]).await[0];
    let target = rig.backend.begin_build().await.expect("begun");
    assert_ne!(target, old);
    rig.say(key.chat, "meanwhile").await;
    let batch = rig.claim(confab::domain::Kind::CreateMessage).await;
    rig.store(&batch).await.expect("stored");
    let outbox = mysql.outbox(None, 10).await.expect("an outbox");
    assert_eq!(outbox.build_target.as_deref(), Some(&*target));
    assert_eq!(outbox.messages.len(), 1);
    index
        .put(Some(&target), &outbox.messages)
        .await
        .expect("put");
    rig.backend.finish_build(&target).await.expect("swapped");
    assert_eq!(index.in_use().await, Ok(Some(target)));
    assert_eq!(rig.found(key.chat, "meanwhile", &ALL).await, [2]);
    assert_eq!(rig.found(key.chat, "before", &ALL).await, [0; 0]);
}

async fn an_index_that_was_deleted_is_never_made_by_a_write(site: &Site) {
    let rig = Rig::new(site).await;
    let key = chat_of(&rig, &["hello"]).await[0];
    let message = rig.stored(key).await.expect("stored");
    site.services()
        .elasticsearch()
        .remove_indices()
        .await
        .expect("removed");
    let index = &rig.services().expect("the services").elasticsearch;
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
        rig.backend
            .search(key.chat, &query("hello"), &ALL)
            .await
            .expect_err("no index")
    ));
    assert_eq!(index.in_use().await, Ok(None));
}

/// A busy disk makes writes slow: to give one up and make it again would make it slower still.
async fn a_write_has_more_time_than_a_read(site: &Site) {
    let mut proxy = Proxy::refusing(&site.services().elasticsearch_url);
    proxy.open().await;
    let rig = Rig::new(site).await;
    let key = chat_of(&rig, &["hello"]).await[0];
    let message = rig.stored(key).await.expect("stored");
    let slow = rig.elsewhere(&[
        ("CONFAB_SERVICES__ELASTICSEARCH_URL", &proxy.url()),
        ("CONFAB_SERVICES__TIMEOUT_MS", "200"),
    ]);
    proxy.hang();
    let messages = [message];
    let put = slow.put_documents(None, &messages);
    let read = async {
        let read = slow.search(key.chat, &query("hello"), &ALL).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
        proxy.resume();
    };
    let (put, ()) = tokio::join!(put, read);
    assert_eq!(put, Ok(vec![]));
}

fn query(text: &str) -> confab::domain::text::Query {
    confab::domain::text::Query::parse(text)
}

on_each_backing!(
    an_update_replaces_what_was_found,
    what_is_put_late_changes_nothing,
    everything_indexed_can_be_gone_through,
    a_document_that_is_gone_is_missed_and_put_back,
    a_rebuilt_index_finds_the_same,
);

on_services!(
    a_rebuild_puts_what_is_stored_meanwhile_into_the_new_index,
    an_index_that_was_deleted_is_never_made_by_a_write,
    a_write_has_more_time_than_a_read,
);
