//! Changes of an application since a cursor.
//!
//! The queue is read first, with the last revision given out, and then the rows up to that revision. A write that is stored in
//! between is in the rows; a row that gets a higher revision in between is a change of a later request. What changed is then
//! read once more, queue first: its present state.

use futures_util::future::try_join_all;

use super::{Services, mysql::StoredChanges, redis::QueuedChanges};
use crate::{
    domain::{
        AppId, Changed, Changes, ChangesPage, Chat, ChatKey, Cursor, Message, MessageKey, Page,
        Revision, Since, Target,
    },
    stores::{
        Error, Result,
        changes::{Entry, Examined, READ_AT_ONCE, examine},
        merge,
    },
};

impl Services {
    pub(crate) async fn changes(&self, app: AppId, page: &ChangesPage) -> Result<Option<Changes>> {
        let known = match &page.since {
            Since::After(cursor) => Some(cursor),
            Since::Beginning | Since::Now => None,
        };
        let after = known.map_or(Revision(0), |cursor| cursor.revision);
        let queued = self
            .queued(|| self.redis.queued_changes(app, after))
            .await?;
        let Some(QueuedChanges { last, writes }) = queued else {
            return Ok(None);
        };
        // Of `now`, only the part of the history is needed.
        let after = if page.since == Since::Now {
            last
        } else {
            after
        };
        let stored = self.mysql.changes(app, known, after, last).await?;
        let StoredChanges {
            current,
            parts,
            rows: [messages, chats],
        } = stored;
        let mark = current.ok_or_else(|| unknown_epoch(last))?.mark;
        let cursor = |revision| {
            Since::After(Cursor {
                app,
                mark,
                revision,
            })
        };
        if page.since == Since::Now {
            let (items, next) = (Vec::new(), cursor(last));
            return Ok(Some(Changes { items, next }));
        }
        if known.is_some_and(|known| !known.is_valid(&parts, last)) {
            return Err(Error::HistoryLost);
        }
        let Examined { wanted, last } = examine(vec![writes, messages, chats], page);
        let (items, cut) = self.changed(&wanted, page.bytes).await?;
        let next = cut.or(last).map_or(page.since, cursor);
        Ok(Some(Changes { items, next }))
    }

    /// The present states of what changed, until their texts exceed a size; then also the revision of the last one.
    async fn changed(
        &self,
        wanted: &[Entry],
        limit: usize,
    ) -> Result<(Vec<Changed>, Option<Revision>)> {
        let (mut items, mut bytes) = (Vec::with_capacity(wanted.len()), 0);
        for part in wanted.chunks(READ_AT_ONCE) {
            let states = part.iter().map(|(_, target)| self.state(*target));
            for ((revision, _), state) in part.iter().zip(try_join_all(states).await?) {
                let Some(changed) = state else {
                    continue;
                };
                bytes += changed.size();
                items.push(changed);
                if bytes > limit {
                    return Ok((items, Some(*revision)));
                }
            }
        }
        Ok((items, None))
    }

    /// The present state of a chat or message; `None` for a message of a deleted chat, and for what was lost.
    async fn state(&self, target: Target) -> Result<Option<Changed>> {
        let Target { app, chat, number } = target;
        if chat == 0 {
            let chat = self.chat_or_deletion(ChatKey { app, number }).await?;
            return Ok(chat.map(Changed::chat));
        }
        let chat = target.chat();
        let message = self
            .message_or_deletion(MessageKey { chat, number })
            .await?;
        Ok(message.map(Changed::message))
    }

    async fn chat_or_deletion(&self, key: ChatKey) -> Result<Option<Chat>> {
        let page = Page::only(key.number);
        let queued = self
            .queued(|| self.redis.pending_chats(key.app, &page))
            .await?;
        let Some(queued) = queued else {
            return Ok(None);
        };
        let queued = queued.items.into_iter().next();
        Ok(merge::one(queued, self.mysql.chat(key).await?))
    }

    async fn message_or_deletion(&self, key: MessageKey) -> Result<Option<Message>> {
        let Some(queued) = self.queued(|| self.newest.call(key)).await? else {
            return Ok(None);
        };
        Ok(merge::one(queued, self.mysql.message(key).await?))
    }
}

/// The error of an epoch that has no part in the history: the database was restored from a backup while it was used.
fn unknown_epoch(last: Revision) -> Error {
    Error::Unavailable {
        store: "MySQL",
        detail: format!("epoch {} is not in its history", last.epoch()),
    }
}
