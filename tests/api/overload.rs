//! More than the queue may hold is turned away, and nothing of it is kept.

use serde_json::json;

use crate::support::{Site, on_each_backing, settles};

async fn beyond_the_queue_depth_writes_are_a_503_and_change_nothing(site: &Site) {
    const FULL: &str = "Try again shortly: the queue is full";
    const DEPTH: u64 = 10;
    let api = site
        .start_with(&[
            ("CONFAB_WORKERS__ENABLED", "false"),
            ("CONFAB_LIMITS__QUEUE_DEPTH", "10"),
        ])
        .await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    // These are two; one of the messages is an update.
    for number in 1..=DEPTH - 3 {
        assert_eq!(api.say(&chat, "there is room").await, number);
    }
    api.change(&chat, 1, "changed").await;

    let paths = [
        app.to_string(),
        format!("{app}/chats"),
        chat.to_string(),
        format!("{chat}/messages"),
        chat.message(1),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(api.get(path).await.body);
    }
    let (username, message) = (
        json!({"username": "one more"}),
        json!({"message": "one more"}),
    );
    for _ in 0..3 {
        api.post("/application", &username)
            .await
            .expect_error(503, FULL);
        for path in ["chat", "chats"] {
            let answer = api.send("POST", format!("{app}/{path}"), &[], "").await;
            answer.expect_error(503, FULL);
        }
        api.post(format!("{chat}/message"), &message)
            .await
            .expect_error(503, FULL);
        api.put(chat.message(2), &message)
            .await
            .expect_error(503, FULL);
    }
    // What is wrong is still told apart from what is too much.
    api.post(format!("{chat}/message"), &json!({}))
        .await
        .expect_error(400, "Message is required");
    for (path, before) in paths.iter().zip(&before) {
        let answer = api.get(path).await;
        answer.expect(200, before);
    }
    drop(api);

    // Once workers have made room, numbers go on where they were.
    let api = site
        .start_with(&[("CONFAB_LIMITS__QUEUE_DEPTH", "10")])
        .await;
    settles("all is stored", json!(DEPTH - 3), async || {
        api.messages_count(&chat).await
    })
    .await;
    settles("there is room again", 201, async || {
        api.post("/application", &username).await.status
    })
    .await;
    assert_eq!(api.new_chat(&app).await.number, 2);
    assert_eq!(api.say(&chat, "there is room again").await, DEPTH - 2);
    assert_eq!(api.get(&app).await.text_field("ChatsCount"), "2");
    assert_eq!(api.text(&chat, 2).await, "there is room");
}

on_each_backing!(beyond_the_queue_depth_writes_are_a_503_and_change_nothing);
