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
        changes::{Entry, Examined, READ_AT_ONCE, States, examine},
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
            mark,
            part,
            rows: [messages, chats],
        } = stored;
        let mark = mark.ok_or_else(|| unknown_epoch(last))?;
        let cursor = |revision, seen| {
            Since::After(Cursor {
                app,
                mark,
                revision,
                seen,
            })
        };
        if page.since == Since::Now {
            let (items, next) = (Vec::new(), cursor(last, last));
            return Ok(Some(Changes { items, next }));
        }
        match (known, part) {
            (None, _) => {}
            // Another process has begun an epoch, and this one does not know of it yet.
            (Some(_), Some((epoch, _))) if epoch > last.epoch() => {
                return Err(outdated_epoch(last));
            }
            (Some(known), Some((_, part))) if known.is_valid(&part, last) => {}
            (Some(_), _) => return Err(Error::HistoryLost),
        }
        let Examined {
            wanted,
            last: examined,
        } = examine(vec![writes, messages, chats], page);
        let Some(examined) = examined else {
            let (items, next) = (Vec::new(), page.since);
            return Ok(Some(Changes { items, next }));
        };
        let (items, cut) = self.changed(&wanted, page.bytes).await?;
        // After the states were read.
        let (seen, _) = self.redis.last_accepted().await?;
        let next = cursor(cut.unwrap_or(examined), seen);
        Ok(Some(Changes { items, next }))
    }

    /// The present states of what changed, until their texts exceed a size; then also the revision of the last one.
    async fn changed(
        &self,
        wanted: &[Entry],
        limit: usize,
    ) -> Result<(Vec<Changed>, Option<Revision>)> {
        let mut states = States::default();
        for part in wanted.chunks(READ_AT_ONCE) {
            let reads = part.iter().map(|(_, target)| self.state(*target));
            for ((revision, _), state) in part.iter().zip(try_join_all(reads).await?) {
                if let Some(state) = state
                    && let Some(last) = states.add(*revision, state, limit)
                {
                    return Ok((states.items, Some(last)));
                }
            }
        }
        Ok((states.items, None))
    }

    /// The present state of a chat or message; `None` for a message of a deleted chat, and for what was lost.
    async fn state(&self, target: Target) -> Result<Option<Changed>> {
        let Target { app, chat, number } = target;
        if chat == 0 {
            let chat = self.chat_or_deletion(ChatKey { app, number }).await?;
            return Ok(chat.map(Changed::chat));
        }
        let message = self.message_or_deletion(target.message()).await?;
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
        let stored = self.mysql.message(key).await?;
        // An update without a row: retention may have removed it. The update is dropped when it is stored.
        if stored.is_none() && queued.as_ref().is_some_and(|one| one.updated_at.is_some()) {
            let chat = self.mysql.chat(key.chat).await?;
            if chat.is_some_and(|chat| key.number <= chat.deleted_up_to) {
                return Ok(None);
            }
        }
        Ok(merge::one(queued, stored))
    }
}

/// The error of a process that does not know the current epoch.
fn outdated_epoch(last: Revision) -> Error {
    Error::Unavailable {
        store: "Redis",
        detail: format!("epoch {} is over", last.epoch()),
    }
}

/// The error of an epoch that has no part in the history: the database was restored from a backup while it was used.
fn unknown_epoch(last: Revision) -> Error {
    Error::Unavailable {
        store: "MySQL",
        detail: format!("epoch {} is not in its history", last.epoch()),
    }
}
