//! Reads of the API: each sees every accepted write, stored or not.

use super::{Backend, Result};
use crate::domain::{
    AppId, Application, Chat, ChatKey, Message, MessageKey, Page,
    application::{ApplicationsListing, ApplicationsPage},
    page::Listing,
    text::Query,
};

/// A result, and whether writes that are not stored yet may be missing from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// The result.
    pub value: T,
    /// True if the queue is unavailable, so that the result holds only what is stored.
    pub stale: bool,
}

impl<T> Read<T> {
    /// A result that lacks nothing.
    pub fn fresh(value: T) -> Self {
        let stale = false;
        Self { value, stale }
    }

    /// Replaces the value.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Read<U> {
        Read {
            value: map(self.value),
            stale: self.stale,
        }
    }
}

/// While the queue is unreachable, reads return stored data. An item that is not found may be queued and not stored yet.
/// Such a read fails with the error of the outage. It returns `None` or `false` only for what is stored as deleted.
impl Backend {
    /// An application, and how many chats it has been given.
    pub async fn application(&self, id: AppId) -> Result<Read<Option<(Application, u64)>>> {
        match self {
            Self::Services(services) => services.application(id).await,
            Self::Embedded(embedded) => embedded.application(id).await.map(Read::fresh),
        }
    }

    /// Tells whether a chat exists. Cheaper than reading it.
    pub async fn has_chat(&self, key: ChatKey) -> Result<Read<bool>> {
        match self {
            Self::Services(services) => services.has_chat(key).await,
            Self::Embedded(embedded) => embedded.has_chat(key).await.map(Read::fresh),
        }
    }

    /// A page of all applications, in the order in which they were accepted.
    pub async fn applications(&self, page: &ApplicationsPage) -> Result<Read<ApplicationsListing>> {
        match self {
            Self::Services(services) => services.applications(page).await,
            Self::Embedded(embedded) => embedded.applications(page).await.map(Read::fresh),
        }
    }

    /// A chat.
    pub async fn chat(&self, key: ChatKey) -> Result<Read<Option<Chat>>> {
        match self {
            Self::Services(services) => services.chat(key).await,
            Self::Embedded(embedded) => embedded.chat(key).await.map(Read::fresh),
        }
    }

    /// A page of an application's chats, ascending.
    pub async fn chats(&self, app: AppId, page: &Page) -> Result<Read<Listing<Chat>>> {
        match self {
            Self::Services(services) => services.chats(app, page).await,
            Self::Embedded(embedded) => embedded.chats(app, page).await.map(Read::fresh),
        }
    }

    /// A message.
    pub async fn message(&self, key: MessageKey) -> Result<Read<Option<Message>>> {
        match self {
            Self::Services(services) => services.message(key).await,
            Self::Embedded(embedded) => embedded.message(key).await.map(Read::fresh),
        }
    }

    /// A page of a chat's messages, ascending.
    pub async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Read<Listing<Message>>> {
        match self {
            Self::Services(services) => services.messages(chat, page).await,
            Self::Embedded(embedded) => embedded.messages(chat, page).await.map(Read::fresh),
        }
    }

    /// Returns matching messages of a chat, ascending: with `page.after` the first ones after it, else the newest.
    pub async fn search(&self, chat: ChatKey, query: &Query, page: &Page) -> Result<Vec<Message>> {
        dispatch!(self.search(chat, query, page), services: elasticsearch.search)
    }
}
