//! What was accepted and is not stored yet.

use super::{Redis, connection::Via, read_entry};
use crate::{
    domain::{Entry, Message, MessageKey, Page},
    stores::Result,
};

impl Redis {
    /// The writes of a page, each the newest to its number; `key` is where they are found by it.
    pub(super) async fn pending(&self, key: &str, page: &Page) -> Result<Vec<Entry>> {
        let low = page.after.map_or("-inf".into(), |n| format!("({n}"));
        let high = page.before.map_or("+inf".into(), |n| format!("({n}"));
        let answer = self
            .call(Via::Shared, &self.scripts.pending, |command| {
                command.arg(key).arg(&low).arg(&high).arg(page.limit);
                command.arg(u8::from(page.from_the_end()));
            })
            .await?;
        let mut entries = Vec::with_capacity(answer.len() / 2);
        for write in answer.chunks_exact(2) {
            entries.push(read_entry(&write[0], &write[1])?);
        }
        if page.from_the_end() {
            entries.reverse();
        }
        Ok(entries)
    }

    /// The newest write to each of these messages, in their order.
    pub(super) async fn newest(&self, keys: &[MessageKey]) -> Result<Vec<Result<Option<Message>>>> {
        let answer = self
            .call(Via::Shared, &self.scripts.newest, |command| {
                for key in keys {
                    command.arg(format!("pending:{}", key.chat)).arg(key.number);
                }
            })
            .await?;
        let newest = answer
            .chunks_exact(2)
            .map(|write| match write[0].is_empty() {
                true => Ok(None),
                false => Ok(read_entry(&write[0], &write[1])?.into_message()),
            });
        Ok(newest.collect())
    }
}
