//! The use cases of the API.

mod changes;
mod granted_chats;
mod writes;

use std::{collections::BTreeSet, sync::Arc};

pub use self::writes::Created;
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Entity, Error, Message, MessageKey, Number, Page,
        Result,
        application::{ApplicationsListing, ApplicationsPage},
        page::{Listing, Part},
        text::Query,
    },
    stores::{self, Backend},
    telemetry::write_counters::WriteCounters,
};

pub use crate::stores::{Follower, Read};

/// The use cases, on either backend.
pub struct Service {
    backend: Backend,
    counters: Arc<WriteCounters>,
}

impl From<stores::Error> for Error {
    fn from(error: stores::Error) -> Self {
        match error {
            stores::Error::Unavailable { store, detail } => Self::Unavailable { store, detail },
            stores::Error::Full(detail) => Self::Full { detail },
            // Another process can serve the request.
            stores::Error::Newer { store, .. } => Self::Unavailable {
                store,
                detail: error.to_string(),
            },
            stores::Error::IndexMissing(_) => Self::Unavailable {
                store: "the search index",
                detail: error.to_string(),
            },
            stores::Error::HistoryLost => Self::HistoryLost,
            stores::Error::Rejected { .. }
            | stores::Error::Fenced(_)
            | stores::Error::Failed { .. } => Self::Internal {
                detail: error.to_string(),
            },
        }
    }
}

impl Service {
    /// The use cases on these stores; `counters` counts what is accepted.
    pub fn new(backend: Backend, counters: Arc<WriteCounters>) -> Self {
        Self { backend, counters }
    }

    /// An application, and how many chats it has been given.
    pub async fn application(&self, id: AppId) -> Result<Read<(Application, u64)>> {
        found(self.backend.application(id).await?, Entity::Application)
    }

    /// A page of all applications, in the order in which they were accepted.
    pub async fn applications(&self, page: &ApplicationsPage) -> Result<Read<ApplicationsListing>> {
        Ok(self.backend.applications(page).await?)
    }

    /// A chat.
    pub async fn chat(&self, key: ChatKey) -> Result<Read<Chat>> {
        found(self.backend.chat(key).await?, Entity::Chat)
    }

    /// A message.
    pub async fn message(&self, key: MessageKey) -> Result<Read<Message>> {
        found(self.backend.message(key).await?, Entity::Message)
    }

    /// A page of a chat's messages.
    pub async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Read<Listing<Message>>> {
        let read = self.backend.messages(chat, page).await?;
        if read.value.items.is_empty() {
            self.chat_exists(chat).await?;
        }
        Ok(read)
    }

    /// A page of an application's chats; with `granted` only of these.
    pub async fn chats(
        &self,
        app: AppId,
        page: &Page,
        granted: Option<&BTreeSet<Number>>,
    ) -> Result<Read<Listing<Chat>>> {
        let read = match granted {
            None => self.backend.chats(app, page).await?,
            Some(granted) => {
                let whole = granted_chats::whole(page, granted);
                let (read, stale) = match whole {
                    None => (None, false),
                    Some(whole) => {
                        let Read { value, stale } = self.backend.chats(app, &whole).await?;
                        (Some((whole, value)), stale)
                    }
                };
                let value = granted_chats::narrow(page, granted, read);
                Read { value, stale }
            }
        };
        if read.value.items.is_empty() {
            self.application(app).await?;
        }
        Ok(read)
    }

    /// Returns the messages of a chat that match: with `page.after` the ones that follow it, else the newest.
    pub async fn search(
        &self,
        chat: ChatKey,
        query: &Query,
        page: &Page,
    ) -> Result<Read<Listing<Message>>> {
        let newest = page.after.is_none() && page.before.is_none();
        let page = Page {
            before: if newest { Some(Page::NOW) } else { page.before },
            ..*page
        };
        let search = async {
            match query.is_empty() {
                true => Ok(Vec::new()),
                false => {
                    self.backend
                        .search(chat, query, &page.with_one_more())
                        .await
                }
            }
        };
        // The index may still hold messages of a deleted chat, and may be down when the answer is that there is no chat.
        let (stale, hits) = tokio::join!(self.chat_exists(chat), search);
        let stale = stale?;
        Ok(Read {
            value: Listing::new(&page, Part::whole(hits?)),
            stale,
        })
    }

    /// Checks that a chat exists. Returns true if only stored data could be read.
    async fn chat_exists(&self, key: ChatKey) -> Result<bool> {
        let read = self.backend.has_chat(key).await?;
        match read.value {
            true => Ok(read.stale),
            false => Err(Error::NotFound(Entity::Chat)),
        }
    }
}

fn found<T>(Read { value, stale }: Read<Option<T>>, entity: Entity) -> Result<Read<T>> {
    let value = value.ok_or(Error::NotFound(entity))?;
    Ok(Read { value, stale })
}
