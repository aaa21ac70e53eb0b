//! Compares everything: acknowledged writes, the API, rows, documents, counts and dead letters.

mod index;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use serde_json::{Value, json};

use crate::{
    history::{DurableWrites, History, Key, Violation},
    support::{App, BackendKind, Chat},
    trial::Trial,
};

/// Messages by chat, then number, with their texts.
type Texts = BTreeMap<(String, u64), BTreeMap<u64, String>>;

/// Compares everything in `history` with the stores, and adds violations to the trial's row.
pub async fn all(trial: &Trial<'_>, history: &History, durable: &DurableWrites) {
    trial.fetch_file();
    let deleted = chats(trial, history, "deleted_at IS NOT NULL").await;
    let mut rows = stored(trial, history).await;
    check_responses(trial, history, durable);
    texts(trial, history, durable, &rows, "stored");
    numbers(trial, history, durable, (&rows, &deleted));
    let listed = api(trial, history, durable, (&rows, &deleted)).await;
    texts(trial, history, durable, &listed, "listed");
    if listed != rows {
        for (chat, texts) in &rows {
            if listed.get(chat) != Some(texts) {
                let finding = format!("{chat:?}: the list is not what is stored");
                trial.row().add(|row| &mut row.unexpected, finding);
            }
        }
    }
    if trial.fixture.backend_kind() == BackendKind::Services {
        // Documents of a deleted chat must be empty.
        rows.extend(deleted.into_iter().map(|chat| (chat, BTreeMap::new())));
        index::documents(trial, &rows).await;
    }
    index::search(trial, history, &rows).await;
    index::verify(trial).await;
}

fn key(chat: &(String, u64), number: u64) -> Key {
    Key {
        chat: chat_of(chat),
        number,
    }
}

fn chat_of((app, number): &(String, u64)) -> Chat {
    Chat {
        app: app.clone(),
        number: *number,
    }
}

/// The rows of chats of the applications in `history` that fulfil a condition.
async fn chats(trial: &Trial<'_>, history: &History, condition: &str) -> BTreeSet<(String, u64)> {
    let query = format!("SELECT app, number FROM chats WHERE {condition}");
    places(trial, history, query).await
}

/// Chats of the applications in `history` that a query finds.
async fn places(trial: &Trial<'_>, history: &History, query: String) -> BTreeSet<(String, u64)> {
    #[derive(QueryableByName)]
    struct ChatRow {
        #[diesel(sql_type = Text)]
        app: String,
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    let apps = history.apps.keys().map(|id| format!("'{id}'"));
    let apps = apps.collect::<Vec<_>>().join(",");
    let rows = trial
        .fixture
        .rows::<ChatRow>(&format!("{query} AND app IN ({apps})"))
        .await;
    let rows = rows.into_iter();
    rows.map(|row| (row.app, row.number.unsigned_abs()))
        .collect()
}

/// The stored messages of the applications in `history`, including chats without messages.
async fn stored(trial: &Trial<'_>, history: &History) -> Texts {
    let fixture = trial.fixture;
    let chats = chats(trial, history, "deleted_at IS NULL").await;
    let of_messages = "SELECT DISTINCT app, chat AS number FROM messages WHERE TRUE".to_owned();
    let of_messages = places(trial, history, of_messages).await;
    for chat in of_messages.difference(&chats) {
        let finding = format!("{chat:?} is not stored, but messages of it are");
        trial.row().add(|row| &mut row.lost, finding);
    }
    let mut texts = Texts::new();
    for chat in chats.into_iter().chain(of_messages) {
        let messages = fixture.stored_messages(&chat_of(&chat)).await;
        texts.insert(chat, messages.into_iter().collect());
    }
    texts
}

/// Checks the responses that clients got.
fn check_responses(trial: &Trial<'_>, history: &History, durable: &DurableWrites) {
    let mut row = trial.row();
    for violation in &history.read_violations {
        if durable.since(violation.written) {
            let finding = format!("{:?}: not read at once: {}", violation.key, violation.seen);
            if violation.missing {
                row.add(|row| &mut row.lost, finding);
            } else {
                row.add(|row| &mut row.wrong, finding);
            }
        }
    }
    for (response, since) in &history.unexpected {
        if since.is_none_or(|since| durable.since(since)) {
            row.add(|row| &mut row.unexpected, response.clone());
        }
    }
    for path in &history.twice {
        row.add(|row| &mut row.twice, format!("{path} was given twice"));
    }
    for chat in history.chats.keys() {
        if history.chat_given_twice(chat, durable) {
            row.add(|row| &mut row.twice, format!("{chat} was given twice"));
        }
    }
    for key in history.keys(durable) {
        if history.given_twice(key, durable) {
            row.add(|row| &mut row.twice, format!("{key:?} was given twice"));
        }
    }
}

/// Checks that every required message exists, with an allowed text that no other message has.
fn texts(
    trial: &Trial<'_>,
    history: &History,
    durable: &DurableWrites,
    texts: &Texts,
    source: &str,
) {
    let mut row = trial.row();
    let holds = |key: &Key| {
        let chat = (key.chat.app.clone(), key.chat.number);
        texts
            .get(&chat)
            .is_some_and(|texts| texts.contains_key(&key.number))
    };
    for key in history.keys(durable) {
        if !holds(key) {
            row.add(|row| &mut row.lost, format!("{key:?} is not {source}"));
        }
    }
    let mut seen: HashMap<&str, Key> = HashMap::new();
    for (chat, messages) in texts {
        for (number, text) in messages {
            let key = key(chat, *number);
            if let Some(violation) = history.violation(&key, text, durable) {
                let finding = format!("{key:?} is {source} as {text:.60?}: {violation:?}");
                if violation == Violation::Taken {
                    row.add(|row| &mut row.twice, finding);
                } else {
                    row.add(|row| &mut row.wrong, finding);
                }
            }
            if let Some(other) = seen.insert(text, key.clone()) {
                let finding = format!("{key:?} is {source} with the text of {other:?}");
                row.add(|row| &mut row.duplicated, finding);
            }
        }
    }
    if source == "stored" && history.at_risk(durable).iter().any(|key| !holds(key)) {
        let lost = history
            .at_risk(durable)
            .iter()
            .filter(|key| !holds(key))
            .count();
        *row.lost_with_redis.get_or_insert(0) += lost;
    }
}

/// Checks that no number of a message or chat is missing.
fn numbers(
    trial: &Trial<'_>,
    history: &History,
    durable: &DurableWrites,
    (rows, deleted): (&Texts, &BTreeSet<(String, u64)>),
) {
    let mut row = trial.row();
    let mut chats: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (chat, texts) in rows {
        chats.entry(&chat.0).or_default().insert(chat.1);
        // Numbers given out before a store was emptied may be lost with it.
        let before = texts
            .iter()
            .filter(|(number, text)| history.was_given_before(&key(chat, **number), text, durable));
        let floor = before.map(|(number, _)| *number).max().unwrap_or(0);
        let numbers = texts.keys().copied().collect();
        for gap in gaps(floor, &numbers) {
            if !history.may_be_deleted(&key(chat, gap)) {
                row.add(
                    |row| &mut row.gaps,
                    format!("{chat:?} has no message {gap}"),
                );
            }
        }
    }
    for (app, number) in deleted {
        chats.entry(app).or_default().insert(*number);
    }
    for (app, numbers) in &chats {
        let all_kept = history
            .chats
            .keys()
            .all(|chat| history.chat_known(chat, durable));
        for gap in gaps(0, numbers) {
            if all_kept {
                row.add(|row| &mut row.gaps, format!("{app} has no chat {gap}"));
            }
        }
    }
}

fn gaps(floor: u64, numbers: &BTreeSet<u64>) -> Vec<u64> {
    let highest = numbers.last().copied().unwrap_or(0);
    (floor + 1..=highest)
        .filter(|number| !numbers.contains(number))
        .collect()
}

/// Lists everything over the API, and checks every application, chat and count.
async fn api(
    trial: &Trial<'_>,
    history: &History,
    durable: &DurableWrites,
    (rows, deleted): (&Texts, &BTreeSet<(String, u64)>),
) -> Texts {
    let api = trial.api();
    let mut listed = Texts::new();
    let lost = |finding: String| trial.row().add(|row| &mut row.lost, finding);
    let miscounted = |finding: String| trial.row().add(|row| &mut row.counts, finding);
    for (id, (username, span)) in &history.apps {
        let app = App { id: id.clone() };
        let response = api.get(&app).await;
        if response.status != 200 {
            if durable.since(span.sent) {
                lost(format!("{app} {response}"));
            }
            continue;
        }
        // If its creation was lost but one of its chats was stored, it was recreated without a username.
        let may_be_lost = !durable.since(span.sent) && response.text_field("Username") == "unknown";
        if response.text_field("Username") != *username && !may_be_lost {
            lost(format!("{app} {response}, not {username}"));
        }
        let pages = api.follow(format!("{app}/chats?limit=1000"), "next").await;
        let chats: Vec<Value> = pages
            .iter()
            .flat_map(|page| page.json().as_array().cloned().unwrap_or_default())
            .collect();
        // It counts accepted chats, including those that were lost with Redis below a stored one. Missing chats are
        // checked elsewhere.
        let numbers = rows.keys().chain(deleted).filter(|chat| chat.0 == *id);
        let accepted = numbers.map(|chat| chat.1).max().unwrap_or(0);
        let gone = deleted.iter().filter(|chat| chat.0 == *id).count();
        let count = (accepted - gone as u64).to_string();
        if response.text_field("ChatsCount") != count {
            miscounted(format!(
                "{app} {response}; {accepted} chats were accepted, and {gone} deleted"
            ));
        }
        for chat in chats {
            let chat_key = (id.clone(), chat["chatID"].as_u64().unwrap_or_default());
            let count = rows.get(&chat_key).map_or(0, BTreeMap::len);
            let is_right = |counted: &Value| match count {
                // It is null until the first message was counted, which may be deleted.
                0 => counted.is_null() || *counted == 0,
                _ => *counted == json!(count),
            };
            let counted = api.messages_count(&chat_of(&chat_key)).await;
            if !is_right(&chat["messagesCount"]) || !is_right(&counted) {
                miscounted(format!(
                    "{chat_key:?}: {chat}, {counted}; {count} messages are stored"
                ));
            }
            let path = format!("{}/messages?limit=1000", chat_of(&chat_key));
            let pages = api.follow(path, "next").await;
            let texts = pages.iter().flat_map(|page| {
                let items = page.json().as_array().cloned().unwrap_or_default();
                items.into_iter().map(|item| {
                    let text = item["message"].as_str().unwrap_or_default().to_owned();
                    (item["messageID"].as_u64().unwrap_or_default(), text)
                })
            });
            listed.insert(chat_key, texts.collect());
        }
    }
    for chat in history.chats.keys() {
        let chat_key = (chat.app.clone(), chat.number);
        if history.chat_is_deleted(chat, durable)
            && (listed.contains_key(&chat_key) || rows.contains_key(&chat_key))
        {
            let finding = format!("{chat} was deleted, but is listed or stored");
            trial.row().add(|row| &mut row.wrong, finding);
        }
        if history.chat_kept(chat, durable)
            && !(listed.contains_key(&chat_key) && rows.contains_key(&chat_key))
        {
            lost(format!("{chat} is not listed, or not stored"));
        }
    }
    listed
}
