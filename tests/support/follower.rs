//! A client that follows an application's changes, and holds what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use serde_json::Value;

use super::{App, Client, Response};

/// What a client holds of an application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// Chats by number.
    pub chats: BTreeMap<u64, Value>,
    /// Messages by chat and number.
    pub messages: BTreeMap<(u64, u64), Value>,
}

/// Members of a change or list item that the other does not have.
const LEFT_OUT: [&str; 3] = ["type", "messagesCount", "deletedUpTo"];

impl Copy {
    /// Reads all lists.
    pub async fn of_lists(api: &Client, app: &App) -> Self {
        let mut copy = Self::default();
        for chat in pages(api, &format!("{app}/chats"), "chatID").await {
            let number = number(&chat, "chatID");
            let messages = pages(api, &format!("{app}/chat/{number}/messages"), "messageID").await;
            for message in messages {
                let key = (number, self::number(&message, "messageID"));
                copy.messages.insert(key, without_others(&message));
            }
            copy.chats.insert(number, without_others(&chat));
        }
        copy
    }

    /// The chats and messages that differ from those of another copy, with both states.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        fn of<K: Ord + Debug>(one: &BTreeMap<K, Value>, other: &BTreeMap<K, Value>) -> Vec<String> {
            let keys: BTreeSet<&K> = one.keys().chain(other.keys()).collect();
            keys.into_iter()
                .filter(|key| one.get(key) != other.get(key))
                .map(|key| {
                    format!(
                        "{key:?}: {:?} instead of {:?}",
                        one.get(key),
                        other.get(key)
                    )
                })
                .collect()
        }
        let mut differences = of(&self.chats, &other.chats);
        differences.extend(of(&self.messages, &other.messages));
        differences
    }

    /// Applies a change.
    pub fn apply(&mut self, change: &Value) {
        let chat = number(change, "chatID");
        let is_deleted = change["deleted"] == true;
        match change["type"].as_str() {
            Some("chat") if is_deleted => {
                self.chats.remove(&chat);
                self.messages.retain(|(of, _), _| *of != chat);
            }
            Some("chat") => {
                let up_to = change["deletedUpTo"].as_u64().unwrap_or(0);
                self.messages
                    .retain(|(of, number), _| *of != chat || *number > up_to);
                self.chats.insert(chat, without_others(change));
            }
            Some("message") => {
                let key = (chat, number(change, "messageID"));
                match is_deleted {
                    true => self.messages.remove(&key),
                    false => self.messages.insert(key, without_others(change)),
                };
            }
            other => panic!("a change of type {other:?}: {change}"),
        }
    }
}

/// A client that follows an application.
#[derive(Debug, Clone)]
pub struct Follower {
    /// What it holds.
    pub copy: Copy,
    /// Where it continues.
    pub cursor: String,
}

impl Follower {
    /// A client that holds nothing yet.
    pub fn new() -> Self {
        Self {
            copy: Copy::default(),
            cursor: "0".into(),
        }
    }

    /// Reads the next changes. False at the end.
    pub async fn step(&mut self, api: &Client, app: &App, query: &str) -> bool {
        let response = self.read(api, app, query).await;
        response.expect_status(200);
        self.take(&response.json())
    }

    /// Requests the next changes.
    pub async fn read(&self, api: &Client, app: &App, query: &str) -> Response {
        let cursor = &self.cursor;
        api.get(format!("{app}/changes?after={cursor}{query}"))
            .await
    }

    /// Applies a response. False at the end.
    pub fn take(&mut self, response: &Value) -> bool {
        let changes = response["changes"].as_array().expect("an array");
        for change in changes {
            self.copy.apply(change);
        }
        let next = response["next"].as_str().expect("a cursor").to_owned();
        let goes_on = next != self.cursor;
        assert!(goes_on || changes.is_empty(), "changes at the end");
        self.cursor = next;
        goes_on
    }

    /// Reads changes until the end.
    pub async fn follow(&mut self, api: &Client, app: &App, query: &str) {
        while self.step(api, app, query).await {}
    }
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().expect("a number")
}

fn without_others(value: &Value) -> Value {
    let mut value = value.clone();
    let members = value.as_object_mut().expect("an object");
    members.retain(|member, _| !LEFT_OUT.contains(&member.as_str()));
    value
}

/// All items of a list.
async fn pages(api: &Client, path: &str, number: &str) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    loop {
        let after = items.last().map_or(0, |item| self::number(item, number));
        let page = api.get(format!("{path}?limit=1000&after={after}")).await;
        if page.status == 404 {
            return items;
        }
        page.expect_status(200);
        let page = page.json();
        let page = page.as_array().expect("an array");
        if page.is_empty() {
            return items;
        }
        items.extend(page.iter().cloned());
    }
}
