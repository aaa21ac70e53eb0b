//! ETags of messages, and edits on the condition of a version.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    Chat, Client, Fixture, Response, Server, apply, eventually_eq, on_each_backend, on_each_server,
};

const CHANGED: &str = "Message has changed";

impl Client {
    async fn update_if(&self, chat: &Chat, number: u64, text: &str, etag: &str) -> Response {
        let headers = [("content-type", "application/json"), ("if-match", etag)];
        let body = json!({"message": text}).to_string();
        self.send("PUT", chat.message(number), &headers, body).await
    }

    async fn delete_if(&self, chat: &Chat, number: u64, etag: &str) -> Response {
        let headers = [("if-match", etag)];
        self.send("DELETE", chat.message(number), &headers, "")
            .await
    }

    async fn etag(&self, chat: &Chat, number: u64) -> String {
        etag(&self.get(chat.message(number)).await)
    }
}

fn etag(response: &Response) -> String {
    let etag = response.header("etag").expect("an ETag").to_owned();
    assert!(
        etag.starts_with('"') && etag.ends_with('"'),
        "{etag} is not strong"
    );
    etag
}

#[apply(on_each_server!)]
async fn etag_is_the_same_for_one_version_in_every_process(server: &Server) {
    let clients = server.clients();
    let chat = clients[0].new_app_and_chat().await;
    let body = json!({"message": "hello"});
    let created = clients[0].post(format!("{chat}/message"), &body).await;
    let first = etag(&created);
    for client in &clients {
        assert_eq!(client.etag(&chat, 1).await, first);
    }
    let same = clients[0].put(chat.message(1), &body).await;
    let second = etag(&same);
    assert_ne!(first, second, "an update to the same text is a change");
    eventually_eq("it is counted", json!(1), async || {
        clients[0].messages_count(&chat).await
    })
    .await;
    for client in &clients {
        assert_eq!(client.etag(&chat, 1).await, second);
        let path = chat.message(1);
        let current = [("if-none-match", &*second)];
        let unchanged = client.send("GET", &path, &current, "").await;
        assert_eq!((unchanged.status, etag(&unchanged)), (304, second.clone()));
        let gzip = [("accept-encoding", "gzip")];
        let response = client.send("GET", &path, &gzip, "").await;
        assert_eq!(response.header("content-encoding"), None);
    }
}

#[apply(on_each_server!)]
async fn conditions_admit_only_the_named_versions(server: &Server) {
    let api = server.client();
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "first").await;
    let first = api.etag(&chat, 1).await;
    let weak = format!("W/{first}");
    let second = etag(&api.update_if(&chat, 1, "second", &weak).await);
    for outdated in [&*first, &weak, "\"x\"", "x", "", ",", "\"\""] {
        let refused = api.update_if(&chat, 1, "lost", outdated).await;
        refused.expect_error(412, CHANGED);
        let refused = api.delete_if(&chat, 1, outdated).await;
        refused.expect_error(412, CHANGED);
    }
    assert_eq!(api.text(&chat, 1).await, "second");
    let any = format!("{first}, \"x\" ,{second}");
    api.update_if(&chat, 1, "third", &any)
        .await
        .expect_status(200);
    api.update_if(&chat, 1, "fourth", "*")
        .await
        .expect_status(200);
    // Existence is checked first.
    for condition in ["*", &*first] {
        let missing = api.update_if(&chat, 2, "none", condition).await;
        missing.expect_error(404, "Message not found");
    }
    let last = api.etag(&chat, 1).await;
    api.delete_if(&chat, 1, &last).await.expect_status(200);
    let missing = api.update_if(&chat, 1, "late", &last).await;
    missing.expect_error(404, "Message not found");
}

#[apply(on_each_backend!)]
async fn conditions_hold_on_stored_messages(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    api.create_message(&chat, "first").await;
    let stored = async |text: &str| {
        eventually_eq("it is stored", text.to_owned(), async || {
            let rows = fixture.stored_messages(&chat).await;
            rows.first().map_or(String::new(), |row| row.1.clone())
        })
        .await;
    };
    stored("first").await;
    let first = api.etag(&chat, 1).await;
    let second = etag(&api.update_if(&chat, 1, "second", &first).await);
    stored("second").await;
    assert_eq!(api.etag(&chat, 1).await, second);
    let refused = api.update_if(&chat, 1, "lost", &first).await;
    refused.expect_error(412, CHANGED);
    drop(api);
    let api = fixture.start().await;
    assert_eq!(api.etag(&chat, 1).await, second);
    let refused = api.update_if(&chat, 1, "lost", &first).await;
    refused.expect_error(412, CHANGED);
    api.update_if(&chat, 1, "third", &second)
        .await
        .expect_status(200);
}

#[apply(on_each_server!)]
async fn of_concurrent_edits_exactly_those_succeed_that_saw_the_last_one(server: &Server) {
    let clients = server.clients();
    let chat = clients[0].new_app_and_chat().await;
    clients[0].create_message(&chat, "0").await;
    let edit = async |client: usize| {
        let api = &clients[client % clients.len()];
        let mut accepted = Vec::new();
        for attempt in 0..10 {
            let seen = api.get(chat.message(1)).await;
            let text = format!("client {client}, attempt {attempt}");
            let response = api.update_if(&chat, 1, &text, &etag(&seen)).await;
            match response.status {
                200 => accepted.push((etag(&seen), etag(&response))),
                _ => response.expect_error(412, CHANGED),
            }
        }
        accepted
    };
    let accepted = join_all((0..20).map(edit)).await.concat();
    // Each version but the last was replaced exactly once.
    let mut replaced: Vec<_> = accepted.iter().map(|edit| &edit.0).collect();
    replaced.sort_unstable();
    let count = replaced.len();
    replaced.dedup();
    assert_eq!(replaced.len(), count, "two edits replaced the same version");
    let last = clients[0].etag(&chat, 1).await;
    let created: Vec<_> = accepted.iter().map(|edit| &edit.1).collect();
    assert!(created.contains(&&last));
    let unreplaced = created
        .iter()
        .filter(|etag| replaced.binary_search(etag).is_err());
    assert_eq!(unreplaced.count(), 1, "an edit was lost");
    assert!(count >= 10, "only {count} edits were accepted");
}
