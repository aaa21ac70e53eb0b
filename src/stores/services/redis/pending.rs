//! Writes that are accepted and not stored yet.

use super::{
    CounterKey, Fact, Redis, Stamp, connection::ConnectionClass, failed, read_change,
    scripts::ScriptCall,
};
use crate::{
    domain::{
        AppId, Change, Chat, ChatKey, Message, MessageKey, Page, Revision, number::MAX_NUMBER,
        page::Part,
    },
    stores::{
        Result,
        call::{Call, call},
    },
};

/// What Redis holds of something that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queued<T> {
    /// What is not stored yet. Deletions are items, too.
    Read(T),
    /// What it belongs to, an application or chat, is deleted.
    ParentDeleted,
    /// What is not stored yet, of an earlier epoch: it exists only if by this fact what it belongs to does.
    Needs(Fact, T),
}

impl<T> Queued<T> {
    /// Converts the items.
    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Queued<U> {
        match self {
            Self::Read(items) => Queued::Read(convert(items)),
            Self::ParentDeleted => Queued::ParentDeleted,
            Self::Needs(fact, items) => Queued::Needs(fact, convert(items)),
        }
    }
}

/// Reads the status of items that belong to the owner of a counter.
pub(super) fn read_status<T>(
    status: &str,
    owner: CounterKey,
    stamp: Stamp,
    items: T,
) -> Result<Queued<T>> {
    match status {
        "ok" => Ok(Queued::Read(items)),
        "missing" => Ok(Queued::ParentDeleted),
        "counter" => Ok(Queued::Needs(owner.fact(stamp), items)),
        other => Err(failed(format!("reading what is queued returned {other:?}"))),
    }
}

impl Redis {
    /// The chats of a page that are not stored yet.
    pub async fn pending_chats(&self, app: AppId, page: &Page) -> Result<Queued<Part<Chat>>> {
        let owner = CounterKey::Chats(app);
        let queued = self.pending(call!("queue", "chats"), owner, page).await?;
        Ok(queued.map(|changes| changes.filter_map(Change::into_chat)))
    }

    /// The newest write to each message of a page that is not stored yet.
    pub async fn pending_messages(
        &self,
        chat: ChatKey,
        page: &Page,
    ) -> Result<Queued<Part<Message>>> {
        let owner = CounterKey::Messages(chat);
        let queued = self.pending(call!("queue", "messages"), owner, page);
        let queued = queued.await?;
        Ok(queued.map(|changes| changes.filter_map(Change::into_message)))
    }

    /// The newest write to each number of a page of what belongs to the owner of a counter.
    async fn pending(
        &self,
        call: &Call,
        owner: CounterKey,
        page: &Page,
    ) -> Result<Queued<Part<Change>>> {
        let low = page.after.map_or("-inf".into(), |n| format!("({n}"));
        let high = page.before.map_or("+inf".into(), |n| format!("({n}"));
        let mut command = ScriptCall::new(|scripts| &scripts.pending);
        match owner {
            CounterKey::Chats(app) => command.arg(app.to_string()).arg(""),
            CounterKey::Messages(chat) => command.arg(chat.app.to_string()).arg(chat.number),
        };
        command.arg(&low).arg(&high).arg(page.limit);
        // The script counts with doubles, which are exact up to here.
        let bytes = (page.bytes as u64).min(MAX_NUMBER);
        command.arg(u8::from(page.from_the_end())).arg(bytes);
        let response = self.run(ConnectionClass::Shared, &command);
        let response = call.timed(response).await?;
        let (status, stamp, changes) = match &response[..] {
            [status, epoch, at, changes @ ..] => (status, Stamp::read(epoch, at), changes),
            [missing] if missing == "missing" => return Ok(Queued::ParentDeleted),
            _ => return Err(failed("reading what is queued returned no epoch")),
        };
        let changes = changes.chunks_exact(2).map(|write| {
            let change = read_change(&write[0], &write[1])?;
            Ok((change, write[1].len()))
        });
        let part = Part::read(page, changes)?;
        read_status(status, owner, stamp, part)
    }

    /// The last write to a message before `id` that is not stored yet.
    pub async fn write_before(&self, key: MessageKey, id: Revision) -> Result<Option<Message>> {
        let mut command = ScriptCall::new(|scripts| &scripts.before);
        command.arg(key.chat.to_string()).arg(key.number);
        command.arg(id.to_string());
        let call = call!("queue", "write_before");
        let response = self.call(call, ConnectionClass::Shared, &command).await?;
        match &response[..] {
            [] => Ok(None),
            [id, payload] => Ok(read_change(id, payload)?.into_message()),
            other => Err(failed(format!("the write before is {other:?}"))),
        }
    }

    /// The newest write to each of these messages that is not stored yet, in their order.
    pub async fn newest(
        &self,
        keys: &[MessageKey],
    ) -> Result<Vec<Result<Queued<Option<Message>>>>> {
        let mut command = ScriptCall::new(|scripts| &scripts.newest);
        for MessageKey { chat, number } in keys {
            command.arg(chat.to_string()).arg(*number);
        }
        let (call, class) = (call!("queue", "message"), ConnectionClass::Shared);
        let response = self.call(call, class, &command).await?;
        let [epoch, at, newest @ ..] = &response[..] else {
            return Err(failed("reading messages returned no epoch"));
        };
        let stamp = Stamp::read(epoch, at);
        let newest = keys.iter().zip(newest).map(|(key, write)| {
            if write.is_empty() {
                return Ok(Queued::Read(None));
            }
            let mut words = write.splitn(3, ' ');
            let status = words.next().unwrap_or_default();
            let message = match (words.next(), words.next()) {
                (Some(id), Some(payload)) => read_change(id, payload)?.into_message(),
                _ => None,
            };
            read_status(status, CounterKey::Messages(key.chat), stamp, message)
        });
        Ok(newest.collect())
    }
}
