//! What was answered with success is read back, at once, from every process, with its exact fields.

use serde_json::Value;

use crate::support::{App, Client, Site, on_each_backing, settles};

const WORKERS_OFF: (&str, &str) = ("CONFAB_WORKERS__ENABLED", "false");

async fn an_application_is_read_back_with_its_exact_fields(site: &Site) {
    let api = site.start().await;
    let app = api.new_app().await;
    let answer = api.get(&app).await;
    let (id, created) = (&app.id, answer.time_field("CreatedAt"));
    answer.expect(
        200,
        &format!(
            r#"{{"Application":"{id}","Username":"Shetewi","ChatsCount":"0","CreatedAt":"{created}"}}"#
        ),
    );
}

async fn a_chat_is_read_back_with_its_exact_fields(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    let answer = api.get(&chat).await;
    let (app, created) = (&chat.app, answer.time_field("CreatedAt"));
    answer.expect(
        200,
        &format!(
            r#"{{"Application":"{app}","Chat":1,"MessagesCount":null,"CreatedAt":"{created}"}}"#
        ),
    );

    api.say(&chat, "Hello, World!").await;
    let counted =
        format!(r#"{{"Application":"{app}","Chat":1,"MessagesCount":1,"CreatedAt":"{created}"}}"#);
    settles("the chat with its count", counted, async || {
        api.get(&chat).await.body
    })
    .await;
}

async fn a_message_is_read_back_with_its_exact_fields(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    api.say(&chat, "Guess what?").await;
    let answer = api.get(chat.message(1)).await;
    let (app, created) = (&chat.app, answer.time_field("CreatedAt"));
    answer.expect(
        200,
        &format!(
            r#"{{"Application":"{app}","Chat":1,"MessageID":"1","Message":"Guess what?","CreatedAt":"{created}"}}"#
        ),
    );
}

async fn what_was_just_written_is_read_at_once_from_every_process(site: &Site) {
    let processes = site.start_all().await;
    for round in 0..20 {
        let writer = &processes[round % processes.len()];
        let reader = &processes[(round + 1) % processes.len()];

        let app = writer.new_app().await;
        assert_eq!(reader.get(&app).await.text_field("ChatsCount"), "0");
        let chat = writer.new_chat(&app).await;
        assert_eq!(reader.get(&app).await.text_field("ChatsCount"), "1");
        assert_eq!(reader.get(&chat).await.number_field("Chat"), 1);
        let chats = reader.get(format!("{app}/chats")).await;
        assert_eq!(chats.numbers("chatID"), [1]);
        let messages = reader.get(format!("{chat}/messages")).await;
        messages.expect(200, "[]");

        let number = writer.say(&chat, "as created").await;
        assert_eq!(reader.text(&chat, number).await, "as created");
        let messages = reader.get(format!("{chat}/messages")).await;
        assert_eq!(messages.numbers("messageID"), [number]);

        // From here on the reader writes and the writer reads.
        reader.change(&chat, number, "as changed").await;
        assert_eq!(writer.text(&chat, number).await, "as changed");
        let messages = writer.get(format!("{chat}/messages")).await;
        assert_eq!(messages.json()[0]["message"], "as changed");
        assert_eq!(reader.say(&chat, "the second").await, 2);
    }
}

/// Every GET path but search.
async fn everything(api: &Client, app: &App) -> Vec<String> {
    let mut all = Vec::new();
    for path in [
        app.to_string(),
        format!("{app}/chats"),
        format!("{app}/chat/1"),
        format!("{app}/chat/2"),
        format!("{app}/chat/1/messages"),
        format!("{app}/chat/2/messages"),
        format!("{app}/chat/1/message/1"),
        format!("{app}/chat/1/message/2"),
    ] {
        let answer = api.get(path).await;
        answer.expect_status(200);
        all.push(answer.body);
    }
    all
}

/// As if no message had been counted yet.
fn without_counts(bodies: Vec<String>) -> Vec<String> {
    bodies
        .into_iter()
        .map(|body| {
            body.replace(r#"sCount":1"#, r#"sCount":null"#)
                .replace(r#"sCount":2"#, r#"sCount":null"#)
        })
        .collect()
}

async fn what_no_worker_has_stored_yet_reads_as_it_does_afterwards(site: &Site) {
    let processes = site.start_all_with(&[WORKERS_OFF]).await;
    let api = &processes[0];
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.new_chat(&app).await;
    api.say(&chat, "as created").await;
    api.say(&chat, "never changed").await;
    api.change(&chat, 1, "as changed").await;

    let before = everything(api, &app).await;
    assert!(before[0].contains(r#""ChatsCount":"2""#), "{before:#?}");
    assert!(before[6].contains(r#""as changed""#), "{before:#?}");
    assert!(before[7].contains(r#""never changed""#), "{before:#?}");
    for other in &processes {
        assert_eq!(everything(other, &app).await, before);
    }
    assert_eq!(site.stored_messages(&chat).await, []);
    drop(processes);

    let api = site.start().await;
    settles("both messages are counted", Value::from(2), async || {
        // Whatever has been stored by now, only the counts may differ.
        assert_eq!(without_counts(everything(&api, &app).await), before);
        api.messages_count(&chat).await
    })
    .await;
    // The change is another kind of job: it may be stored after both have been counted.
    let changed = vec![
        (1, "as changed".to_owned()),
        (2, "never changed".to_owned()),
    ];
    settles("the change is stored", changed, async || {
        site.stored_messages(&chat).await
    })
    .await;
}

async fn what_a_process_without_workers_accepts_is_stored_by_one_that_has_them(site: &Site) {
    let api = site.start_with(&[WORKERS_OFF]).await;
    let chat = api.new_app_and_chat().await;
    for number in 1..=10 {
        assert_eq!(api.say(&chat, &format!("number {number}")).await, number);
    }
    drop(api);
    let worker = site.start().await;
    settles("all are stored", 10, async || {
        site.stored_messages(&chat).await.len()
    })
    .await;
    assert_eq!(worker.text(&chat, 10).await, "number 10");
}

async fn times_of_creation_follow_the_order_of_creation(site: &Site) {
    let processes = site.start_all().await;
    let chat = processes[0].new_app_and_chat().await;
    let mut latest = processes[0].get(&chat).await.time_field("CreatedAt");
    for turn in 0..6 {
        let api = &processes[turn % processes.len()];
        let number = api.say(&chat, "tick").await;
        let created = api.get(chat.message(number)).await.time_field("CreatedAt");
        // All have the same form, so they sort as text.
        assert!(created >= latest, "{created} after {latest}");
        latest = created;
    }
}

on_each_backing!(
    an_application_is_read_back_with_its_exact_fields,
    a_chat_is_read_back_with_its_exact_fields,
    a_message_is_read_back_with_its_exact_fields,
    what_was_just_written_is_read_at_once_from_every_process,
    what_no_worker_has_stored_yet_reads_as_it_does_afterwards,
    what_a_process_without_workers_accepts_is_stored_by_one_that_has_them,
    times_of_creation_follow_the_order_of_creation,
);
