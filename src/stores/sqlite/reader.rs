//! Reads of the API: queued writes and rows together, in one visit of a reader.
//!
//! A visit sees the file as it was at one moment, so no write can be missed between the two.

use diesel::prelude::*;

use super::{
    Embedded,
    error::Outcome,
    numbers::{existing_application, existing_chat},
    pending, read,
    readers::{Purpose, Readers},
    rows::unsigned,
};
use crate::{
    domain::{
        AppId, Application, Change, Chat, ChatKey, Message, MessageKey, Page,
        page::{Item as _, Listing, Part},
    },
    stores::{Result, call::call, coalescer::Coalescer, merge},
};

/// Maximum number of messages that one read transaction reads for several requests.
const GROUP: usize = 64;

impl Embedded {
    pub(crate) async fn application(&self, id: AppId) -> Result<Option<(Application, u64)>> {
        let read = move |connection: &mut SqliteConnection| application(connection, id);
        let call = call!("records", "application");
        self.readers.run(call, read).await
    }

    pub(crate) async fn has_chat(&self, key: ChatKey) -> Result<bool> {
        let find =
            move |connection: &mut SqliteConnection| Ok(existing_chat(connection, key)?.is_some());
        self.readers.run(call!("queue", "has_chat"), find).await
    }

    pub(crate) async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        let read = move |connection: &mut SqliteConnection| chat(connection, key);
        self.readers.run(call!("records", "chat"), read).await
    }

    pub(crate) async fn chats(&self, app: AppId, page: &Page) -> Result<Listing<Chat>> {
        let (page, wide) = (*page, page.with_one_more());
        let read = move |connection: &mut SqliteConnection| {
            if existing_application(connection, app)?.is_none() {
                return Ok(Part::whole(Vec::new()));
            }
            let pending = pending_chats(connection, app, &wide)?;
            let stored = Part::whole(read::chats(connection, app, &wide)?);
            Ok(merge::list(&wide, pending, stored))
        };
        let chats = self.readers.run(call!("records", "chats"), read).await?;
        Ok(Listing::new(&page, chats))
    }

    pub(crate) async fn message(&self, key: MessageKey) -> Result<Option<Message>> {
        self.messages.call(key).await
    }

    pub(crate) async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Listing<Message>> {
        let (page, wide) = (*page, page.with_one_more());
        let read = move |connection: &mut SqliteConnection| {
            let Some(id) = existing_chat(connection, chat)? else {
                return Ok(Part::whole(Vec::new()));
            };
            let pending = pending::changes(connection, chat.app, chat.number, &wide)?;
            let pending = pending.filter_map(Change::into_message);
            let stored = read::messages(connection, id, &wide)?;
            Ok(merge::list(&wide, pending, stored))
        };
        let messages = self.readers.run(call!("records", "messages"), read).await?;
        Ok(Listing::new(&page, messages))
    }
}

/// Reads messages for several requests in one visit.
pub(super) fn messages(readers: &Readers) -> Coalescer<MessageKey, Option<Message>> {
    let readers = readers.clone();
    let in_flight = Purpose::Reads.connections();
    Coalescer::new("SQLite", GROUP, in_flight, move |keys| {
        let readers = readers.clone();
        async move {
            let read = move |connection: &mut SqliteConnection| {
                let found = keys.into_iter().map(|key| {
                    let message = message(connection, key)?;
                    Ok(message.filter(|message| !message.is_deleted()))
                });
                found.collect::<Outcome<Vec<_>>>()
            };
            let found = readers.run(call!("records", "message"), read).await?;
            Ok(found.into_iter().map(Ok).collect())
        }
    })
}

/// A chat that exists.
pub(super) fn chat(connection: &mut SqliteConnection, key: ChatKey) -> Outcome<Option<Chat>> {
    if existing_chat(connection, key)?.is_none() {
        return Ok(None);
    }
    let pending = pending_chats(connection, key.app, &Page::only(key.number))?;
    let pending = pending.items.into_iter().next();
    Ok(merge::one(pending, read::chat(connection, key)?))
}

/// A message of a chat that exists. The message may be deleted.
pub(super) fn message(
    connection: &mut SqliteConnection,
    key: MessageKey,
) -> Outcome<Option<Message>> {
    let Some(chat) = existing_chat(connection, key.chat)? else {
        return Ok(None);
    };
    let pending = pending::message(connection, key)?;
    let stored = read::message(connection, chat, key.number)?;
    Ok(merge::one(pending, stored))
}

/// The application, and how many chats it has been given that were not deleted.
fn application(
    connection: &mut SqliteConnection,
    id: AppId,
) -> Outcome<Option<(Application, u64)>> {
    let Some(chats) = existing_application(connection, id)? else {
        return Ok(None);
    };
    let application = match pending::application(connection, id)? {
        Some(pending) => Some(pending),
        None => read::application(connection, id)?.map(|(stored, _)| stored),
    };
    Ok(application.map(|application| (application, unsigned(chats))))
}

fn pending_chats(
    connection: &mut SqliteConnection,
    app: AppId,
    page: &Page,
) -> Outcome<Part<Chat>> {
    let changes = pending::changes(connection, app, 0, page)?;
    Ok(changes.filter_map(Change::into_chat))
}
