//! The use cases that http, the command line and tests call.

pub mod doctor;
pub mod figures;
pub mod jobs;
mod list;
pub mod progress;
pub mod readiness;
pub mod rebuild;
pub mod verify;

use std::{future::Future, sync::Arc};

use self::list::list;
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Entity, Error, Message, MessageKey, MessageText, Number,
        Page, RequestId, Result, Username, Write, number::MAX_NUMBER, page::Listing, text::Query,
    },
    stores::wakeup::Wake,
    stores::{self, Acceptance, JobQueue, Known, Records, SearchIndex},
    telemetry::activity::Activity,
};

/// How many random application ids are tried. With a billion of the four that there are given out, all fail once in a
/// million creations.
const ID_ATTEMPTS: usize = 10;

/// What was read, and whether writes that are not stored yet may be missing from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What was read.
    pub value: T,
    /// The queue is out of reach: this is what is stored.
    pub stale: bool,
}

/// The use cases, on whatever backing.
pub struct Service {
    records: Arc<dyn Records>,
    queue: Arc<dyn JobQueue>,
    index: Arc<dyn SearchIndex>,
    wake: Arc<Wake>,
    activity: Arc<Activity>,
}

impl From<stores::Error> for Error {
    fn from(error: stores::Error) -> Self {
        match error {
            stores::Error::Unavailable { store, detail } => Self::Unavailable { store, detail },
            stores::Error::Full(detail) => Self::Full { detail },
            stores::Error::IndexMissing(_) => Self::Unavailable {
                store: "the search index",
                detail: error.to_string(),
            },
            stores::Error::Rejected { .. }
            | stores::Error::Fenced(_)
            | stores::Error::Failed { .. } => Self::Internal {
                detail: error.to_string(),
            },
        }
    }
}

fn is_outage(error: &stores::Error) -> bool {
    matches!(error, stores::Error::Unavailable { .. })
}

impl Service {
    /// The use cases on these stores. `wake` tells the workers of this process of what is accepted, `activity` counts it.
    pub fn new(
        records: Arc<dyn Records>,
        queue: Arc<dyn JobQueue>,
        index: Arc<dyn SearchIndex>,
        wake: Arc<Wake>,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            records,
            queue,
            index,
            wake,
            activity,
        }
    }

    /// Accepts a new application under an id that was never given before.
    pub async fn create_application(
        &self,
        username: Username,
        request: &RequestId,
    ) -> Result<AppId> {
        let username = username.into_string();
        for _ in 0..ID_ATTEMPTS {
            let id = AppId::random();
            if self.records.application(id).await?.is_some() {
                continue;
            }
            let username = username.clone();
            let write = Write::CreateApplication { id, username };
            if self.accept(&write, request).await?.is_some() {
                return Ok(id);
            }
        }
        Err(Error::Internal {
            detail: format!("{ID_ATTEMPTS} random application ids were all taken"),
        })
    }

    /// Accepts the next chat of an application.
    pub async fn create_chat(&self, app: AppId, request: &RequestId) -> Result<ChatKey> {
        let number = self.accept(&Write::CreateChat { app }, request).await?;
        let number = number.ok_or(Error::NotFound(Entity::Application))?;
        Ok(ChatKey { app, number })
    }

    /// Accepts the next message of a chat.
    pub async fn create_message(
        &self,
        chat: ChatKey,
        text: &MessageText,
        request: &RequestId,
    ) -> Result<MessageKey> {
        let text = text.as_str().to_owned();
        let number = self
            .accept(&Write::CreateMessage { chat, text }, request)
            .await?;
        let number = number.ok_or(Error::NotFound(Entity::Chat))?;
        Ok(MessageKey { chat, number })
    }

    /// Accepts a new text for a message.
    pub async fn update_message(
        &self,
        message: MessageKey,
        text: &MessageText,
        request: &RequestId,
    ) -> Result<()> {
        let text = text.as_str().to_owned();
        let number = self
            .accept(&Write::UpdateMessage { message, text }, request)
            .await?;
        number.ok_or(Error::NotFound(Entity::Message))?;
        Ok(())
    }

    /// The number given out; `None` if there is nothing to write into, or the id is taken.
    async fn accept(&self, write: &Write, request: &RequestId) -> Result<Option<Number>> {
        match self.queue.accept(write, Some(request)).await? {
            Acceptance::Accepted { number, .. } => {
                self.wake.job(write.kind()).notify_one();
                self.activity.accepted();
                Ok(Some(number))
            }
            Acceptance::Missing | Acceptance::Taken => Ok(None),
        }
    }

    /// An application, and how many chats it has been given.
    pub async fn application(&self, id: AppId) -> Result<Read<(Application, u64)>> {
        match self.queue.application(id).await {
            Ok(None) => Err(Error::NotFound(Entity::Application)),
            Ok(Some((Some(pending), chats))) => Ok(fresh((pending, chats))),
            Ok(Some((None, chats))) => match self.records.application(id).await? {
                Some((stored, _)) => Ok(fresh((stored, chats))),
                None => Err(Error::NotFound(Entity::Application)),
            },
            Err(outage) if is_outage(&outage) => stale(self.records.application(id).await?, outage),
            Err(error) => Err(error.into()),
        }
    }

    /// A chat.
    pub async fn chat(&self, key: ChatKey) -> Result<Read<Chat>> {
        let stored = || self.records.chat(key);
        // A chat never changes, but what is stored of it also says how many messages were counted.
        let newer = |_pending, stored| stored;
        let pending = self.queue.chat(key).await;
        self.one(Entity::Chat, pending, stored, newer).await
    }

    /// A message.
    pub async fn message(&self, key: MessageKey) -> Result<Read<Message>> {
        let stored = || self.records.message(key);
        let pending = match self.queue.message(key).await {
            Ok(Known::All(all)) => return all.map(fresh).ok_or(Error::NotFound(Entity::Message)),
            Ok(Known::Pending(pending)) => Ok(Some(pending)),
            Ok(Known::Nothing) => Ok(None),
            Err(error) => Err(error),
        };
        self.one(Entity::Message, pending, stored, Message::merge)
            .await
    }

    /// The messages of a chat.
    pub async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Read<Listing<Message>>> {
        let pending = async |page: &Page| self.queue.messages(chat, page).await;
        let stored = async |page: &Page| self.records.messages(chat, page).await;
        let number = |message: &Message| message.key.number;
        let read = list(page, pending, stored, number, Message::merge).await?;
        if read.value.items.is_empty() {
            self.chat_exists(chat).await?;
        }
        Ok(read)
    }

    /// The chats of an application.
    pub async fn chats(&self, app: AppId, page: &Page) -> Result<Read<Listing<Chat>>> {
        let pending = async |page: &Page| self.queue.chats(app, page).await;
        let stored = async |page: &Page| self.records.chats(app, page).await;
        let number = |chat: &Chat| chat.key.number;
        let read = list(page, pending, stored, number, |_pending, stored| stored).await?;
        if read.value.items.is_empty() {
            self.application(app).await?;
        }
        Ok(read)
    }

    /// The messages of a chat that match: with `page.after` those that follow it, else the newest.
    pub async fn search(
        &self,
        chat: ChatKey,
        query: &Query,
        page: &Page,
    ) -> Result<Read<Listing<Message>>> {
        let newest = page.after.is_none() && page.before.is_none();
        let page = Page {
            before: if newest {
                Some(MAX_NUMBER + 1)
            } else {
                page.before
            },
            ..*page
        };
        let hits = if query.is_empty() {
            Ok(Vec::new())
        } else {
            let wide = page.with_one_more();
            self.index.search(chat, query, &wide).await
        };
        // Where something is found there is a chat. Where not, an unknown one is the answer, be the index up or down.
        let stale = match &hits {
            Ok(hits) if !hits.is_empty() => false,
            _ => self.chat_exists(chat).await?,
        };
        let mut listing = Listing::new(&page, hits?, |message| message.key.number);
        if newest {
            listing.next = None;
        }
        Ok(Read {
            value: listing,
            stale,
        })
    }

    /// Makes sure that there is such a chat; tells whether only what is stored could be asked.
    async fn chat_exists(&self, key: ChatKey) -> Result<bool> {
        match self.queue.has_chat(key).await {
            Ok(true) => Ok(false),
            Ok(false) => Err(Error::NotFound(Entity::Chat)),
            Err(outage) if is_outage(&outage) => {
                let read = stale(self.records.chat(key).await?, outage)?;
                Ok(read.stale)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads one thing: what is not stored yet first, then the row, never the other way round, or a write that is
    /// stored in between would be seen in neither.
    async fn one<T, F>(
        &self,
        entity: Entity,
        pending: stores::Result<Option<T>>,
        stored: impl Fn() -> F,
        newer: impl Fn(T, T) -> T,
    ) -> Result<Read<T>>
    where
        F: Future<Output = stores::Result<Option<T>>>,
    {
        match pending {
            Ok(Some(pending)) => Ok(fresh(match stored().await {
                Ok(Some(stored)) => newer(pending, stored),
                // Not stored yet; or the database is out of reach, and this is newer than what it holds.
                Ok(None) | Err(_) => pending,
            })),
            Ok(None) => {
                let stored = stored().await?;
                stored.map(fresh).ok_or(Error::NotFound(entity))
            }
            Err(outage) if is_outage(&outage) => stale(stored().await?, outage),
            Err(error) => Err(error.into()),
        }
    }
}

fn fresh<T>(value: T) -> Read<T> {
    Read {
        value,
        stale: false,
    }
}

/// What is stored, for want of the queue. What is not found may just not be stored yet: the outage is the answer.
fn stale<T>(stored: Option<T>, outage: stores::Error) -> Result<Read<T>> {
    let value = stored.ok_or(outage)?;
    Ok(Read { value, stale: true })
}
