//! A database that was set back to an older backup comes to terms with what Redis and the index remember, by itself.

use serde_json::json;

use crate::support::{Chat, Client, Process, Site, on_each_backing, on_services, settles};

/// A chat with five messages, of which the first was updated, and the first one's revision before that.
async fn chat_to_set_back(site: &Site, api: &Client) -> (Chat, i64) {
    let chat = api.new_app_and_chat().await;
    for _ in 1..=5 {
        api.say(&chat, "hello old").await;
    }
    at_rest(api, &chat, &[1, 2, 3, 4, 5]).await;
    let revision = site
        .stored_number("SELECT revision FROM messages WHERE number = 1")
        .await
        .expect("it is stored");
    api.change(&chat, 1, "hello new").await;
    settles("the update is found", vec![1], async || {
        api.found(&chat, "new").await
    })
    .await;
    (chat, revision)
}

/// What a backup would bring back: the update was not yet made, nor the last two messages. With `epochs`, it is of
/// before so many epochs.
async fn set_back(site: &Site, revision: i64, epochs: u64) {
    for sql in [
        format!(
            "UPDATE messages SET text = 'hello old', revision = {revision}, updated_at = NULL WHERE number = 1"
        ),
        "DELETE FROM messages WHERE number > 3".to_owned(),
    ] {
        site.execute(&sql).await;
    }
    if epochs > 0 {
        site.execute(&format!("UPDATE state SET epoch = epoch - {epochs}"))
            .await;
    }
}

async fn at_rest(api: &Client, chat: &Chat, numbers: &[u64]) {
    settles("the count", json!(numbers.len()), async || {
        api.messages_count(chat).await
    })
    .await;
    settles("what is found", numbers.to_vec(), async || {
        api.found(chat, "hello").await
    })
    .await;
}

/// Fails unless all comes good without a command, and goes on.
async fn heals(site: &Site, api: &Process, chat: &Chat) {
    settles("the lost update", vec![], async || {
        api.found(chat, "new").await
    })
    .await;
    at_rest(api, chat, &[1, 2, 3]).await;
    site.confab(&["search", "verify"]).await.expect_code(0);

    api.change(chat, 1, "hello newest").await;
    settles("an update after it", vec![1], async || {
        api.found(chat, "newest").await
    })
    .await;
    // Redis knows the numbers that the database has forgotten.
    assert_eq!(api.say(chat, "hello").await, 6);
    at_rest(api, chat, &[1, 2, 3, 6]).await;
    site.confab(&["search", "verify"]).await.expect_code(0);
}

async fn rows_set_back_under_a_running_process_are_healed(site: &Site) {
    let api = site.start().await;
    let (chat, revision) = chat_to_set_back(site, &api).await;
    set_back(site, revision, 0).await;
    heals(site, &api, &chat).await;
}

async fn rows_and_epoch_set_back_under_a_running_process_are_healed(site: &Site) {
    let api = site.start().await;
    let (chat, revision) = chat_to_set_back(site, &api).await;
    set_back(site, revision, 1).await;
    heals(site, &api, &chat).await;
}

async fn rows_set_back_under_a_stopped_process_are_healed(site: &Site) {
    let api = site.start().await;
    let (chat, revision) = chat_to_set_back(site, &api).await;
    drop(api);
    set_back(site, revision, 0).await;
    let api = site.start().await;
    heals(site, &api, &chat).await;
}

async fn rows_and_epoch_set_back_under_a_stopped_process_are_healed(site: &Site) {
    let api = site.start().await;
    let (chat, revision) = chat_to_set_back(site, &api).await;
    drop(api);
    set_back(site, revision, 1).await;
    let api = site.start().await;
    heals(site, &api, &chat).await;
}

async fn an_unfinished_rebuild_from_before_is_not_gone_on_with(site: &Site) {
    let api = site.start().await;
    let (chat, revision) = chat_to_set_back(site, &api).await;
    site.no_rebuild_is_unfinished().await;
    drop(api);
    // It has put the messages as they were.
    let crash = [("CONFAB_TEST_BREAK", "between_rebuild_pages:1:crash")];
    let killed = site.confab_with(&["search", "rebuild"], &crash).await;
    assert_eq!(killed.code, None, "{killed:#?}");
    set_back(site, revision, 1).await;
    let api = site.start().await;
    heals(site, &api, &chat).await;
}

async fn a_chat_whose_creation_was_lost_gets_its_row_back(site: &Site) {
    let api = site.start().await;
    let chat = api.new_app_and_chat().await;
    for _ in 1..=3 {
        api.say(&chat, "hello").await;
    }
    at_rest(&api, &chat, &[1, 2, 3]).await;
    let created_at = api.get(chat.message(1)).await.time_field("CreatedAt");
    assert_eq!(site.execute("DELETE FROM chats").await, 1);
    settles("the chat", json!(3), async || {
        let answer = api.get(&chat).await;
        if answer.status == 200 {
            answer.json()["MessagesCount"].clone()
        } else {
            json!(null)
        }
    })
    .await;
    assert_eq!(api.get(&chat).await.time_field("CreatedAt"), created_at);
    site.confab(&["counts", "verify"]).await.expect_code(0);
}

async fn an_application_whose_creation_was_lost_gets_a_row(site: &Site) {
    let api = site.start().await;
    let app = api.new_app().await;
    let chat = api.new_chat(&app).await;
    api.say(&chat, "hello").await;
    at_rest(&api, &chat, &[1]).await;
    let created_at = api.get(&chat).await.time_field("CreatedAt");
    assert_eq!(site.execute("DELETE FROM applications").await, 1);
    site.services().remove_keys().await.expect("it is emptied");
    let counted = async || {
        let answer = api.get(&app).await;
        (answer.status == 200).then(|| answer.text_field("ChatsCount"))
    };
    settles("the application", Some("1".into()), counted).await;
    let answer = api.get(&app).await;
    assert_eq!(answer.text_field("Username"), "unknown");
    assert_eq!(answer.time_field("CreatedAt"), created_at);
    assert_eq!(api.new_chat(&app).await.number, 2);
    // The row began with no chats, as what had been counted was deleted with it here.
    settles("the counts are corrected", Some(0), async || {
        site.confab(&["counts", "verify"]).await.code
    })
    .await;
}

on_each_backing!(
    rows_set_back_under_a_running_process_are_healed,
    rows_set_back_under_a_stopped_process_are_healed,
);

on_services!(
    rows_and_epoch_set_back_under_a_running_process_are_healed,
    rows_and_epoch_set_back_under_a_stopped_process_are_healed,
    an_unfinished_rebuild_from_before_is_not_gone_on_with,
    a_chat_whose_creation_was_lost_gets_its_row_back,
    an_application_whose_creation_was_lost_gets_a_row,
);
