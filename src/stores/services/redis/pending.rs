//! Writes that are accepted and not stored yet.

use super::{Redis, connection::ConnectionClass, read_change, scripts::ScriptCall};
use crate::{
    domain::{
        AppId, Change, Chat, ChatKey, Message, MessageKey, Page, number::MAX_NUMBER, page::Part,
    },
    stores::{
        Result,
        call::{Call, call},
    },
};

impl Redis {
    /// The chats of a page that are not stored yet.
    pub async fn pending_chats(&self, app: AppId, page: &Page) -> Result<Part<Chat>> {
        let key = format!("pending:{app}");
        let changes = self.pending(call!("queue", "chats"), &key, page).await?;
        Ok(changes.filter_map(Change::into_chat))
    }

    /// The newest write to each message of a page that is not stored yet.
    pub async fn pending_messages(&self, chat: ChatKey, page: &Page) -> Result<Part<Message>> {
        let key = format!("pending:{chat}");
        let changes = self.pending(call!("queue", "messages"), &key, page).await?;
        Ok(changes.filter_map(Change::into_message))
    }

    /// The newest write to each number of a page; `key` is the sorted set that holds them.
    async fn pending(&self, call: &Call, key: &str, page: &Page) -> Result<Part<Change>> {
        let low = page.after.map_or("-inf".into(), |n| format!("({n}"));
        let high = page.before.map_or("+inf".into(), |n| format!("({n}"));
        let mut command = ScriptCall::new(|scripts| &scripts.pending);
        command.arg(key).arg(&low).arg(&high).arg(page.limit);
        // The script counts with doubles, which are exact up to here.
        let bytes = (page.bytes as u64).min(MAX_NUMBER);
        command.arg(u8::from(page.from_the_end())).arg(bytes);
        let response = self.call(call, ConnectionClass::Shared, &command).await?;
        let changes = response.chunks_exact(2).map(|write| {
            let change = read_change(&write[0], &write[1])?;
            Ok((change, write[1].len()))
        });
        Part::read(page, changes)
    }

    /// The newest write to each of these messages that is not stored yet, in their order.
    pub async fn newest(&self, keys: &[MessageKey]) -> Result<Vec<Result<Option<Message>>>> {
        let mut command = ScriptCall::new(|scripts| &scripts.newest);
        for key in keys {
            command.arg(format!("pending:{}", key.chat)).arg(key.number);
        }
        let (call, class) = (call!("queue", "message"), ConnectionClass::Shared);
        let response = self.call(call, class, &command).await?;
        let newest = response
            .chunks_exact(2)
            .map(|write| match write[0].is_empty() {
                true => Ok(None),
                false => Ok(read_change(&write[0], &write[1])?.into_message()),
            });
        Ok(newest.collect())
    }
}
