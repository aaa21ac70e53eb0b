//! Comparing everything: what was answered, the API, the rows, the documents, the counts, the dead letters.

mod index;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use serde_json::{Value, json};

use crate::{
    ground::Ground,
    ledger::{Book, Kept, Key, Objection},
    support::{App, Backing, Chat},
};

/// Messages by chat, then number, with their texts.
type Texts = BTreeMap<(String, u64), BTreeMap<u64, String>>;

/// Compares all that `book` knows of, and adds what is wrong to the ground's row.
pub async fn all(ground: &Ground<'_>, book: &Book, kept: &Kept) {
    ground.fetch_file();
    let rows = stored(ground, book).await;
    told(ground, book, kept);
    texts(ground, book, kept, &rows, "stored");
    numbers(ground, book, kept, &rows);
    let listed = api(ground, book, kept, &rows).await;
    texts(ground, book, kept, &listed, "listed");
    if listed != rows {
        for (chat, texts) in &rows {
            if listed.get(chat) != Some(texts) {
                let finding = format!("{chat:?}: the list is not what is stored");
                ground.row().add(|row| &mut row.strange, finding);
            }
        }
    }
    if ground.site.backing() == Backing::Services {
        index::documents(ground, &rows).await;
    }
    index::search(ground, book, &rows).await;
    index::verify(ground).await;
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

/// The rows of the book's applications. Chats without a message are there too.
async fn stored(ground: &Ground<'_>, book: &Book) -> Texts {
    #[derive(QueryableByName)]
    struct ChatRow {
        #[diesel(sql_type = Text)]
        app: String,
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    let apps = book.apps.keys().map(|id| format!("'{id}'"));
    let apps = apps.collect::<Vec<_>>().join(",");
    let query = |sql: &str| format!("{sql} WHERE app IN ({apps})");
    let site = ground.site;
    let chats: Vec<ChatRow> = site.rows(&query("SELECT app, number FROM chats")).await;
    let of_messages = query("SELECT DISTINCT app, chat AS number FROM messages");
    let of_messages: Vec<ChatRow> = site.rows(&of_messages).await;
    let places = |rows: Vec<ChatRow>| -> BTreeSet<(String, u64)> {
        let rows = rows.into_iter();
        rows.map(|row| (row.app, row.number.unsigned_abs()))
            .collect()
    };
    let (chats, of_messages) = (places(chats), places(of_messages));
    for chat in of_messages.difference(&chats) {
        let finding = format!("{chat:?} is not stored, but messages of it are");
        ground.row().add(|row| &mut row.lost, finding);
    }
    let mut texts = Texts::new();
    for chat in chats.into_iter().chain(of_messages) {
        let messages = site.stored_messages(&chat_of(&chat)).await;
        texts.insert(chat, messages.into_iter().collect());
    }
    texts
}

/// What clients were told, or read, that cannot be.
fn told(ground: &Ground<'_>, book: &Book, kept: &Kept) {
    let mut row = ground.row();
    for misread in &book.misreads {
        if kept.since(misread.written) {
            let finding = format!("{:?}: not read at once: {}", misread.key, misread.seen);
            if misread.missing {
                row.add(|row| &mut row.lost, finding);
            } else {
                row.add(|row| &mut row.wrong, finding);
            }
        }
    }
    for (answer, since) in &book.strange {
        if since.is_none_or(|since| kept.since(since)) {
            row.add(|row| &mut row.strange, answer.clone());
        }
    }
    for path in &book.twice {
        row.add(|row| &mut row.twice, format!("{path} was given twice"));
    }
    for chat in book.chats.keys() {
        if book.chat_given_twice(chat, kept) {
            row.add(|row| &mut row.twice, format!("{chat} was given twice"));
        }
    }
    for key in book.keys(kept) {
        if book.given_twice(key, kept) {
            row.add(|row| &mut row.twice, format!("{key:?} was given twice"));
        }
    }
}

/// Every message that must be there is, with a text that it may have, which no other one has.
fn texts(ground: &Ground<'_>, book: &Book, kept: &Kept, texts: &Texts, place: &str) {
    let mut row = ground.row();
    let holds = |key: &Key| {
        let chat = (key.chat.app.clone(), key.chat.number);
        texts
            .get(&chat)
            .is_some_and(|texts| texts.contains_key(&key.number))
    };
    for key in book.keys(kept) {
        if !holds(key) {
            row.add(|row| &mut row.lost, format!("{key:?} is not {place}"));
        }
    }
    let mut seen: HashMap<&str, Key> = HashMap::new();
    for (chat, messages) in texts {
        for (number, text) in messages {
            let key = key(chat, *number);
            if let Some(objection) = book.objection(&key, text, kept) {
                let finding = format!("{key:?} is {place} as {text:.60?}: {objection:?}");
                if objection == Objection::Taken {
                    row.add(|row| &mut row.twice, finding);
                } else {
                    row.add(|row| &mut row.wrong, finding);
                }
            }
            if let Some(other) = seen.insert(text, key.clone()) {
                let finding = format!("{key:?} is {place} with the text of {other:?}");
                row.add(|row| &mut row.duplicated, finding);
            }
        }
    }
    if place == "stored" && book.at_risk(kept).iter().any(|key| !holds(key)) {
        let lost = book.at_risk(kept).iter().filter(|key| !holds(key)).count();
        *row.redis_alone.get_or_insert(0) += lost;
    }
}

/// No number is left out, neither of a message nor of a chat.
fn numbers(ground: &Ground<'_>, book: &Book, kept: &Kept, rows: &Texts) {
    let mut row = ground.row();
    let mut chats: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (chat, texts) in rows {
        chats.entry(&chat.0).or_default().insert(chat.1);
        // Below what was given out before a memory was emptied, numbers may have been lost with it.
        let before = texts.iter().filter(|(_, text)| {
            let write = book.writes.get(*text);
            write.is_some_and(|write| !kept.since(write.span.sent))
        });
        let floor = before.map(|(number, _)| *number).max().unwrap_or(0);
        let numbers = texts.keys().copied().collect();
        for gap in gaps(floor, &numbers) {
            row.add(
                |row| &mut row.gaps,
                format!("{chat:?} has no message {gap}"),
            );
        }
    }
    for (app, numbers) in &chats {
        let all_kept = book.chats.keys().all(|chat| book.chat_kept(chat, kept));
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

/// What the API lists, after a look at every application, chat and count on the way.
async fn api(ground: &Ground<'_>, book: &Book, kept: &Kept, rows: &Texts) -> Texts {
    let api = ground.api();
    let mut listed = Texts::new();
    let lost = |finding: String| ground.row().add(|row| &mut row.lost, finding);
    let miscounted = |finding: String| ground.row().add(|row| &mut row.counts, finding);
    for (id, (username, span)) in &book.apps {
        let app = App { id: id.clone() };
        let answer = api.get(&app).await;
        if answer.status != 200 {
            if kept.since(span.sent) {
                lost(format!("{app} {answer}"));
            }
            continue;
        }
        // If its creation was lost and a chat of it was stored, it is back without it.
        let may_be_lost = !kept.since(span.sent) && answer.text_field("Username") == "unknown";
        if answer.text_field("Username") != *username && !may_be_lost {
            lost(format!("{app} {answer}, not {username}"));
        }
        let pages = api.follow(format!("{app}/chats?limit=1000"), "next").await;
        let chats: Vec<Value> = pages
            .iter()
            .flat_map(|page| page.json().as_array().cloned().unwrap_or_default())
            .collect();
        // It counts what was accepted: one that was lost with Redis below another that was stored too. Whether any is
        // missing that should be there is looked at elsewhere.
        let numbers = rows.keys().filter(|chat| chat.0 == *id).map(|chat| chat.1);
        let accepted = numbers.max().unwrap_or(0);
        if answer.text_field("ChatsCount") != accepted.to_string() {
            miscounted(format!("{app} {answer}; {accepted} chats were accepted"));
        }
        for chat in chats {
            let place = (id.clone(), chat["chatID"].as_u64().unwrap_or_default());
            let count = rows.get(&place).map_or(0, BTreeMap::len);
            let expected = if count == 0 {
                Value::Null
            } else {
                json!(count)
            };
            let counted = api.messages_count(&chat_of(&place)).await;
            if chat["messagesCount"] != expected || counted != expected {
                miscounted(format!(
                    "{place:?}: {chat}, {counted}; {count} messages are stored"
                ));
            }
            let path = format!("{}/messages?limit=1000", chat_of(&place));
            let pages = api.follow(path, "next").await;
            let texts = pages.iter().flat_map(|page| {
                let items = page.json().as_array().cloned().unwrap_or_default();
                items.into_iter().map(|item| {
                    let text = item["message"].as_str().unwrap_or_default().to_owned();
                    (item["messageID"].as_u64().unwrap_or_default(), text)
                })
            });
            listed.insert(place, texts.collect());
        }
    }
    for chat in book.chats.keys() {
        let place = (chat.app.clone(), chat.number);
        if book.chat_kept(chat, kept) && !(listed.contains_key(&place) && rows.contains_key(&place))
        {
            lost(format!("{chat} is not listed, or not stored"));
        }
    }
    listed
}
