//! Message keys in SQL and in the outbox.

use crate::domain::{ChatKey, MessageKey};

/// A condition on `messages` that holds for just these; false if there are none.
///
/// The keys stand in the text itself: they are hexadecimal digits and numbers by their types, and a statement has fewer
/// places for values than a batch has keys.
pub fn messages(keys: &[MessageKey]) -> String {
    one_of(
        "(app, chat, number)",
        keys.iter().map(|MessageKey { chat, number }| {
            format!("('{}',{},{number})", chat.app, chat.number)
        }),
    )
}

/// A condition on `chats` that holds for just these; false if there are none.
pub fn chats(keys: &[ChatKey]) -> String {
    one_of(
        "(app, number)",
        keys.iter()
            .map(|ChatKey { app, number }| format!("('{app}',{number})")),
    )
}

fn one_of(columns: &str, keys: impl Iterator<Item = String>) -> String {
    let keys: Vec<String> = keys.collect();
    if keys.is_empty() {
        return "FALSE".into();
    }
    format!("{columns} IN ({})", keys.join(","))
}

/// A list of keys as one text.
pub fn write(keys: &[MessageKey]) -> String {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    keys.join(" ")
}

/// Reads what [`write`] wrote; what is no key is passed over.
pub fn read(text: &str) -> impl Iterator<Item = MessageKey> {
    text.split(' ').filter_map(MessageKey::parse)
}
