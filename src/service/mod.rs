//! The use cases of the API.

mod granted_chats;

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Entity, Error, Message, MessageContent, MessageKey,
        NewMessage, Number, Origin, Page, Result, Sender, Username, Write,
        application::{ApplicationsListing, ApplicationsPage},
        page::{Listing, Part},
        text::Query,
    },
    stores::{self, Backend, Enqueued},
    telemetry::write_counters::WriteCounters,
};

pub use crate::stores::Read;

/// Number of random application IDs to try. With a billion of four billion IDs in use, one in a million creations
/// fails.
const ID_ATTEMPTS: usize = 10;

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

    /// Accepts a new application under an ID that was never given before.
    pub async fn create_application(&self, username: Username, origin: &Origin) -> Result<AppId> {
        let username = username.into_string();
        for _ in 0..ID_ATTEMPTS {
            let id = AppId::random();
            let write = Write::create_application(id, &username);
            if self.enqueue(write, origin).await?.is_some() {
                return Ok(id);
            }
        }
        Err(Error::Internal {
            detail: format!("{ID_ATTEMPTS} random application ids were all taken"),
        })
    }

    /// Accepts the next chat of an application.
    pub async fn create_chat(&self, app: AppId, origin: &Origin) -> Result<ChatKey> {
        let number = self.enqueue(Write::create_chat(app), origin).await?;
        let number = number.ok_or(Error::NotFound(Entity::Application))?;
        Ok(ChatKey { app, number })
    }

    /// Accepts the next message of a chat. A user is its sender, whatever the message states.
    pub async fn create_message(
        &self,
        chat: ChatKey,
        message: &NewMessage,
        origin: &Origin,
    ) -> Result<MessageKey> {
        let NewMessage { content, sender } = message;
        let write = Write::create_message(chat, content.text.as_str())
            .with_data(content.data.as_ref())
            .with_sender(origin.user().or(sender.as_ref().map(Sender::as_str)));
        let number = self.enqueue(write, origin).await?;
        let number = number.ok_or(Error::NotFound(Entity::Chat))?;
        Ok(MessageKey { chat, number })
    }

    /// Accepts a new text and new data for a message. The sender stays.
    ///
    /// # Errors
    ///
    /// [`Error::OtherSender`] if the message is not the user's.
    pub async fn update_message(
        &self,
        message: MessageKey,
        content: &MessageContent,
        origin: &Origin,
    ) -> Result<()> {
        if let Some(user) = origin.user() {
            // A message keeps its sender, so nothing can change between this read and the write.
            let read = self.message(message).await?;
            if read.value.sender.as_deref() != Some(user) {
                return Err(Error::OtherSender);
            }
        }
        let write =
            Write::update_message(message, content.text.as_str()).with_data(content.data.as_ref());
        let number = self.enqueue(write, origin).await?;
        number.ok_or(Error::NotFound(Entity::Message))?;
        Ok(())
    }

    /// The number given out; `None` if there is nothing to write into, or the ID is taken.
    async fn enqueue(&self, write: Write, origin: &Origin) -> Result<Option<Number>> {
        let write = write.by(origin.actor.as_ref());
        match self.backend.enqueue(&write, Some(&origin.request)).await? {
            Enqueued::Accepted { number, .. } => {
                self.counters.accepted();
                Ok(Some(number))
            }
            Enqueued::Missing | Enqueued::Taken => Ok(None),
        }
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
        let hits = if query.is_empty() {
            Ok(Vec::new())
        } else {
            let wide = page.with_one_more();
            self.backend.search(chat, query, &wide).await
        };
        // Where something is found there is a chat. Where not, an unknown one is the answer, be the index up or down.
        let stale = match &hits {
            Ok(hits) if !hits.is_empty() => false,
            _ => self.chat_exists(chat).await?,
        };
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
