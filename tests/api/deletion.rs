//! Deleting messages, chats and applications.

use serde_json::{Value, json};

use crate::support::{
    App, Chat, Client, Fixture, Server, apply,
    credentials::{claims, sign},
    eventually, eventually_eq, on_each_backend, on_each_guarded_server, on_each_server,
};

const IDLE: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

const SUCCESS: &str = r#"{"status":"success"}"#;

impl Client {
    /// Deletes what is at a path.
    pub async fn delete(&self, path: impl std::fmt::Display) {
        self.send("DELETE", path, &[], "")
            .await
            .expect(200, SUCCESS);
    }

    /// The numbers of a chat's messages, from its list.
    async fn listed(&self, chat: &Chat) -> Vec<u64> {
        let list = self.get(format!("{chat}/messages")).await;
        list.expect_status(200);
        list.numbers("messageID")
    }

    async fn expect_no_message(&self, chat: &Chat, number: u64) {
        const MISSING: &str = "Message not found";
        let path = chat.message(number);
        self.get(&path).await.expect_error(404, MISSING);
        let update = self.put(&path, &json!({"message": "late"})).await;
        update.expect_error(404, MISSING);
        let deletion = self.send("DELETE", &path, &[], "").await;
        deletion.expect_error(404, MISSING);
    }

    async fn expect_no_chat(&self, chat: &Chat) {
        const MISSING: &str = "Chat not found";
        self.get(chat).await.expect_error(404, MISSING);
        let list = self.get(format!("{chat}/messages")).await;
        list.expect_error(404, MISSING);
        let late = json!({"message": "late"});
        let new = self.post(format!("{chat}/message"), &late).await;
        new.expect_error(404, MISSING);
        self.search(chat, "hello").await.expect_error(404, MISSING);
        let deletion = self.send("DELETE", chat, &[], "").await;
        deletion.expect_error(404, MISSING);
        let message = self.get(chat.message(1)).await;
        message.expect_error(404, "Message not found");
    }
}

#[apply(on_each_server!)]
async fn deleted_message_is_gone_in_every_process(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let chat = api.new_app_and_chat().await;
    for text in ["first", "second", "third"] {
        api.create_message(&chat, text).await;
    }
    api.delete(chat.message(2)).await;
    for client in &clients {
        client.expect_no_message(&chat, 2).await;
        assert_eq!(client.listed(&chat).await, [1, 3]);
    }
    assert_eq!(api.create_message(&chat, "fourth").await, 4);
    eventually_eq("the count", json!(3), async || {
        api.messages_count(&chat).await
    })
    .await;
    eventually("the search", async || {
        let found = api.search_numbers(&chat, "second").await;
        let others = api.search_numbers(&chat, "third").await;
        match found.is_empty() && others == [3] {
            true => Ok(()),
            false => Err(found),
        }
    })
    .await;
    for client in &clients {
        client.expect_no_message(&chat, 2).await;
        assert_eq!(client.listed(&chat).await, [1, 3, 4]);
    }
}

#[apply(on_each_server!)]
async fn deleted_chat_is_gone_in_every_process(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let app = api.new_app().await;
    let (kept, chat) = (api.new_chat(&app).await, api.new_chat(&app).await);
    api.create_message(&chat, "hello").await;
    api.delete(&chat).await;
    for client in &clients {
        client.expect_no_chat(&chat).await;
        let chats = client.get(format!("{app}/chats")).await;
        assert_eq!(chats.numbers("chatID"), [kept.number]);
    }
    assert_eq!(api.new_chat(&app).await.number, 3);
    eventually_eq("the count", "2".to_owned(), async || {
        api.get(&app).await.text_field("ChatsCount")
    })
    .await;
    for client in &clients {
        client.expect_no_chat(&chat).await;
    }
}

#[apply(on_each_backend!)]
async fn deletions_of_queued_writes_are_read_and_stored(fixture: &Fixture) {
    let idle = fixture.start_with(&[IDLE]).await;
    let app = idle.new_app().await;
    let (chat, gone) = (idle.new_chat(&app).await, idle.new_chat(&app).await);
    for text in ["kept", "updated", "deleted"] {
        idle.create_message(&chat, text).await;
    }
    idle.create_message(&gone, "in a deleted chat").await;
    idle.update_message(&chat, 2, "updated, then deleted").await;
    idle.delete(chat.message(2)).await;
    idle.delete(chat.message(3)).await;
    idle.delete(&gone).await;
    let check = async |api: &Client, listed: &[u64]| {
        assert_eq!(api.listed(&chat).await, listed);
        api.expect_no_message(&chat, 2).await;
        api.expect_no_message(&chat, 3).await;
        api.expect_no_chat(&gone).await;
    };
    check(&idle, &[1]).await;
    drop(idle);

    let api = fixture.start().await;
    eventually_eq("the count", json!(1), async || {
        api.messages_count(&chat).await
    })
    .await;
    check(&api, &[1]).await;
    assert_eq!(api.create_message(&chat, "next").await, 4);
    drop(api);
    check(&fixture.start().await.client(), &[1, 4]).await;
}

#[apply(on_each_backend!)]
async fn open_mode_has_no_deletion_of_applications(fixture: &Fixture) {
    let api = fixture.start().await;
    let app = api.new_app().await;
    let deletion = api.send("DELETE", &app, &[], "").await;
    deletion.expect_error(404, "Not found");
    let options = api.send("OPTIONS", &app, &[], "").await;
    assert_eq!(options.header("allow"), Some("HEAD, GET, OPTIONS"));
    api.get(&app).await.expect_status(200);
}

#[apply(on_each_guarded_server!)]
async fn deleted_application_is_gone_with_its_keys(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let key = api.new_key(&app, &json!({})).await;
    let token = sign(&key, &claims(&app, "alice"));
    api.create_message(&chat, "hello").await;
    api.delete(&app).await;
    for client in &clients {
        let found = client.get(&app).await;
        found.expect_error(404, "Application not found");
        let chats = client.get(format!("{app}/chats")).await;
        chats.expect_error(404, "Application not found");
        let new = client.send("POST", format!("{app}/chat"), &[], "").await;
        new.expect_error(404, "Application not found");
        client.expect_no_chat(&chat).await;
        for credential in [&key, &token] {
            let client = client.with_credential(credential);
            eventually("a refusal", async || match client.get(&chat).await {
                found if found.is_error(401, "Credential is not valid") => Ok(()),
                found => Err(found),
            })
            .await;
        }
    }
}

#[apply(on_each_guarded_server!)]
async fn users_delete_only_their_own_messages(server: &Server) {
    let api = server.client();
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    let key = api.new_key(&app, &json!({})).await;
    let [alice, bob] = ["alice", "bob"].map(|user| {
        let token = sign(&key, &claims(&app, user));
        api.with_credential(&token)
    });
    alice.create_message(&chat, "of alice").await;
    let other = bob.send("DELETE", chat.message(1), &[], "").await;
    other.expect_error(403, "Not allowed: another sender's message");
    let missing = bob.send("DELETE", chat.message(2), &[], "").await;
    missing.expect_error(404, "Message not found");
    let of_chat = alice.send("DELETE", &chat, &[], "").await;
    of_chat.expect_error(403, "Not allowed: needs a key");
    alice.delete(chat.message(1)).await;
    alice.expect_no_message(&chat, 1).await;
    api.with_credential(&key).delete(&chat).await;
    api.expect_no_chat(&chat).await;
}

#[apply(on_each_guarded_server!)]
async fn all_messages_of_a_sender_are_erased(server: &Server) {
    let api = server.client();
    let app: App = api.new_app().await;
    let chats = [api.new_chat(&app).await, api.new_chat(&app).await];
    let key = api.new_key(&app, &json!({})).await;
    let backend = api.with_credential(&key);
    for chat in &chats {
        for sender in ["alice", "bob", "alice "] {
            let body = json!({"message": "hello", "sender": sender});
            backend
                .post(format!("{chat}/message"), &body)
                .await
                .expect_status(201);
        }
    }
    let erase = format!("{app}/erase");
    let body = json!({"user": "alice"});
    backend.post(&erase, &body).await.expect(200, SUCCESS);
    for chat in &chats {
        assert_eq!(api.listed(chat).await, [2, 3]);
        eventually_eq("the count", json!(2), async || {
            api.messages_count(chat).await
        })
        .await;
    }
    // What is sent later stays.
    let body: Value = json!({"message": "again", "sender": "alice"});
    let path = format!("{}/message", chats[0]);
    backend.post(path, &body).await.expect_status(201);
    assert_eq!(api.listed(&chats[0]).await, [2, 3, 4]);
}
