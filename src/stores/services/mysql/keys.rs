//! Message keys in SQL and in the outbox.

use std::collections::BTreeSet;

use crate::domain::{AppId, ChatKey, MessageKey};

/// A condition on `messages` that holds for just these; false if there are none.
///
/// The keys stand in the text itself: they are hexadecimal digits and numbers by their types, and a statement has fewer
/// places for values than a batch has keys. Numbers that follow each other, as those of a batch often do, are one range:
/// MySQL takes milliseconds to read a thousand keys one by one.
pub fn messages(keys: &[MessageKey]) -> String {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let follows = |a: &MessageKey, b: &MessageKey| a.chat == b.chat && b.number - a.number <= 1;
    let (runs, single): (Vec<_>, Vec<_>) = keys.chunk_by(follows).partition(|run| run.len() > 1);
    let mut conditions: Vec<String> = runs
        .into_iter()
        .map(|run| {
            let (MessageKey { chat, number }, last) = (run[0], run[run.len() - 1].number);
            let ChatKey { app, number: chat } = chat;
            format!("(app = '{app}' AND chat = {chat} AND number BETWEEN {number} AND {last})")
        })
        .collect();
    if conditions.is_empty() || !single.is_empty() {
        conditions.push(one_of(
            "(app, chat, number)",
            single
                .into_iter()
                .flatten()
                .map(|MessageKey { chat, number }| {
                    format!("('{}',{},{number})", chat.app, chat.number)
                }),
        ));
    }
    format!("({})", conditions.join(" OR "))
}

/// A condition on `chats` that holds for just these; false if there are none.
pub fn chats(keys: &[ChatKey]) -> String {
    one_of(
        "(app, number)",
        keys.iter()
            .map(|ChatKey { app, number }| format!("('{app}',{number})")),
    )
}

/// A condition on `applications` that holds for just these; false if there are none.
pub fn applications(ids: &BTreeSet<AppId>) -> String {
    one_of("id", ids.iter().map(|id| format!("'{id}'")))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AppId;

    #[test]
    fn numbers_that_follow_each_other_are_a_range() {
        let key = |chat, number| MessageKey {
            chat: ChatKey {
                app: AppId(0xdec9_69c6),
                number: chat,
            },
            number,
        };
        assert_eq!(
            messages(&[
                key(1, 7),
                key(2, 5),
                key(1, 6),
                key(1, 9),
                key(1, 8),
                key(1, 11)
            ]),
            "((app = 'dec969c6' AND chat = 1 AND number BETWEEN 6 AND 9) OR \
             (app, chat, number) IN (('dec969c6',1,11),('dec969c6',2,5)))"
        );
        assert_eq!(
            messages(&[key(1, 1), key(1, 2)]),
            "((app = 'dec969c6' AND chat = 1 AND number BETWEEN 1 AND 2))"
        );
        assert_eq!(messages(&[]), "(FALSE)");
    }
}
