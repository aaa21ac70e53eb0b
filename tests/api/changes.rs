//! Changes of an application: their order, cursors, filters, and what ends a cursor.

use serde_json::{Value, json};

use crate::support::{
    App, Client, Copy, Fixture, Follower, Server, apply, eventually_eq, on_each_backend,
    on_each_server,
};

async fn changes(api: &Client, app: &App, query: &str) -> Value {
    let response = api.get(format!("{app}/changes?{query}")).await;
    response.expect_status(200);
    response.json()
}

/// A few changes of each kind, through all processes.
async fn change_much(clients: &[Client], app: &App, round: u64) {
    let api = |index: u64| &clients[index as usize % clients.len()];
    let mut chats = Vec::new();
    for index in 0..3 {
        chats.push(api(index + round).new_chat(app).await);
    }
    for index in 0..12 {
        let chat = &chats[index as usize % 3];
        let number = api(index).create_message(chat, "hello").await;
        if index % 4 == 1 {
            api(index + 1).update_message(chat, number, "changed").await;
        }
        if index % 5 == 2 {
            api(index).delete(chat.message(number)).await;
        }
    }
    api(round).delete(&chats[1]).await;
}

#[apply(on_each_server!)]
async fn follower_holds_what_the_lists_hold(server: &Server) {
    let clients = server.clients();
    let app = clients[0].new_app().await;
    let other = clients[0].new_app_and_chat().await;
    let mut from_the_start = Follower::new();
    let mut later: Vec<Follower> = Vec::new();
    for round in 0..4 {
        change_much(&clients, &app, round).await;
        clients[0]
            .create_message(&other, "another application")
            .await;
        let api = &clients[round as usize % clients.len()];
        from_the_start
            .follow(api, &app, &format!("&limit={}", round * 7 + 1))
            .await;
        let lists = Copy::of_lists(api, &app).await;
        assert_eq!(from_the_start.copy, lists);
        for follower in &mut later {
            follower.follow(api, &app, "&limit=5").await;
            assert_eq!(follower.copy, lists);
        }
        later.push(from_the_start.clone());
    }
    // A full copy, when everything is stored as well.
    eventually_eq("a full copy is what the lists hold", true, async || {
        let mut follower = Follower::new();
        follower.follow(&clients[0], &app, "").await;
        follower.copy == Copy::of_lists(&clients[0], &app).await
    })
    .await;
}

#[apply(on_each_server!)]
async fn cursor_at_the_end_is_returned_letter_for_letter(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let app = api.new_app().await;
    let empty = json!({"changes": [], "next": "0"});
    assert_eq!(changes(api, &app, "").await, empty);
    assert_eq!(changes(api, &app, "after=0").await, empty);
    let now = changes(api, &app, "after=now").await;
    let cursor = now["next"].as_str().expect("a cursor");
    assert_eq!((cursor.len(), &now["changes"]), (38, &json!([])));
    let other = api.new_app_and_chat().await;
    for api in &clients {
        api.create_message(&other, "another application").await;
        assert_eq!(changes(api, &app, &format!("after={cursor}")).await, now);
    }
    let chat = api.new_chat(&app).await;
    let seen = changes(api, &app, &format!("after={cursor}")).await;
    assert_eq!(seen["changes"][0]["chatID"], chat.number);
    assert_eq!(seen["changes"][0]["type"], "chat");
    assert_ne!(seen["next"], cursor);
}

#[apply(on_each_server!)]
async fn changes_have_the_present_state_in_the_form_of_the_contract(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let chat = api.new_app_and_chat().await;
    let app = App {
        id: chat.app.clone(),
    };
    let new = json!({"message": "Hi", "sender": "alice", "data": {"a": 1}});
    api.post(format!("{chat}/message"), &new)
        .await
        .expect_status(201);
    api.create_message(&chat, "gone").await;
    api.delete(chat.message(2)).await;
    let list = api.get(format!("{chat}/messages")).await.json();
    let mut message = list[0].clone();
    message["type"] = json!("message");
    let all = changes(api, &app, "").await;
    assert_eq!(all["changes"][1], message);
    let deleted =
        json!({"type": "message", "appID": chat.app, "chatID": 1, "messageID": 2, "deleted": true});
    assert_eq!(all["changes"][2], deleted);
    api.delete(&chat).await;
    let after = format!("after={}", all["next"].as_str().expect("a cursor"));
    let deleted = json!([{"type": "chat", "appID": chat.app, "chatID": 1, "deleted": true}]);
    assert_eq!(changes(api, &app, &after).await["changes"], deleted);
    // Nothing is left of its messages.
    assert_eq!(changes(api, &app, "").await["changes"], deleted);
}

#[apply(on_each_server!)]
async fn filter_narrows_and_the_cursor_goes_on(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let app = api.new_app().await;
    let chats = [
        api.new_chat(&app).await,
        api.new_chat(&app).await,
        api.new_chat(&app).await,
    ];
    for chat in &chats {
        api.create_message(chat, "hello").await;
    }
    let numbers = async |query: &str| -> (Vec<u64>, String) {
        let found = changes(api, &app, query).await;
        let items = found["changes"].as_array().expect("an array").iter();
        let chats = items.map(|change| change["chatID"].as_u64().expect("a number"));
        (
            chats.collect(),
            found["next"].as_str().expect("a cursor").to_owned(),
        )
    };
    let (all, end) = numbers("").await;
    assert_eq!(all, [1, 2, 3, 1, 2, 3]);
    assert_eq!(numbers("chat=2").await, (vec![2, 2], end.clone()));
    assert_eq!(numbers("chat=2&chat=3&limit=1").await.0, [2]);
    assert_eq!(numbers("chat=9").await, (vec![], end));
}

#[apply(on_each_server!)]
async fn malformed_queries_are_refused(server: &Server) {
    let clients = server.clients();
    let api = &clients[0];
    let app = api.new_app().await;
    let other = api.new_app().await;
    let foreign = changes(api, &other, "after=now").await["next"].clone();
    let foreign = foreign.as_str().expect("a cursor");
    const CURSOR: &str = "after must be 0, now, or a cursor of this application";
    const LIMIT: &str = "limit must be a whole number from 1 to 1000";
    const WAIT: &str = "wait must be a whole number from 0 to 50";
    const CHAT: &str = "chat must be a whole number from 1 to 9007199254740991";
    let many = "&chat=1".repeat(101);
    for (query, error) in [
        (&*format!("after={foreign}"), CURSOR),
        ("after=", CURSOR),
        ("after=1", CURSOR),
        ("after=%00", CURSOR),
        (&format!("after={}", "A".repeat(129)), CURSOR),
        ("limit=0", LIMIT),
        ("limit=1001", LIMIT),
        ("wait=51", WAIT),
        ("wait=-1", WAIT),
        ("chat=0", CHAT),
        ("chat=x", CHAT),
        (&many, "chat must be given at most 100 times"),
    ] {
        let response = api.get(format!("{app}/changes?{query}")).await;
        response.expect_error(400, error);
    }
    let none = App {
        id: "00000000".into(),
    };
    let missing = api.get(format!("{none}/changes")).await;
    missing.expect_error(404, "Application not found");
}

#[apply(on_each_backend!)]
async fn cursors_survive_restarts(fixture: &Fixture) {
    let api = fixture.start().await;
    let chat = api.new_app_and_chat().await;
    let app = App {
        id: chat.app.clone(),
    };
    api.kill();
    let mut follower = Follower::new();
    for round in 0..3 {
        let api = fixture.start().await;
        api.create_message(&chat, "hello").await;
        follower.follow(&api, &app, "").await;
        assert_eq!(follower.copy.messages.len(), round + 1);
        api.kill();
    }
    let api = fixture.start().await;
    assert!(!follower.step(&api, &app, "").await);
}
