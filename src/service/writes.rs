//! The use cases that write.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Result, Service};
use crate::{
    domain::{
        AppId, ChatKey, Condition, Entity, Error, IdempotencyKey, MessageContent, MessageKey,
        NewMessage, Number, Origin, Revision, Sender, Username, Write,
    },
    stores::Enqueued,
};

/// Number of random application IDs to try. With a billion of four billion IDs in use, one in a million creations
/// fails.
const ID_ATTEMPTS: usize = 10;

/// Time for which a request waits until the messages of a sender are deleted.
const ERASURE_WAIT: Duration = Duration::from_secs(2);

/// Pause between two looks at the progress of an erasure.
const ERASURE_POLL: Duration = Duration::from_millis(20);

/// Chat or message that a request created, or that an earlier request with the same idempotency key created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created<K> {
    /// The key of the chat or message.
    pub key: K,
    /// Revision of the creation; `None` if an earlier request created it.
    pub revision: Option<Revision>,
}

/// Write that was accepted.
struct Accepted {
    number: Number,
    /// `None` if an earlier request was accepted in its place.
    revision: Option<Revision>,
}

impl Service {
    /// Accepts a new application under an ID that was never given before.
    pub async fn create_application(&self, username: Username, origin: &Origin) -> Result<AppId> {
        let username = username.into_string();
        for _ in 0..ID_ATTEMPTS {
            let id = AppId::random();
            let write = Write::create_application(id, &username);
            if self.offer(write, origin).await?.is_some() {
                return Ok(id);
            }
        }
        Err(Error::Internal {
            detail: format!("{ID_ATTEMPTS} random application ids were all taken"),
        })
    }

    /// Accepts the next chat of an application. A repeated creation with the same idempotency key returns the same chat.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] with [`Entity::Chat`] if the chat of the idempotency key was deleted.
    pub async fn create_chat(
        &self,
        app: AppId,
        idempotency: Option<&str>,
        origin: &Origin,
    ) -> Result<Created<ChatKey>> {
        let key = idempotency.map(|key| IdempotencyKey::of_chat(app, origin.user(), key));
        let write = Write::create_chat(app).with_idempotency(key);
        let Accepted { number, revision } = self.write(write, origin, Entity::Application).await?;
        let key = ChatKey { app, number };
        Ok(Created { key, revision })
    }

    /// Accepts the next message of a chat. A user is its sender, whatever the message states. A repeated creation with the
    /// same idempotency key and message returns the same message.
    ///
    /// # Errors
    ///
    /// [`Error::KeyReused`] if the idempotency key was used with another message; [`Error::NotFound`] with
    /// [`Entity::Message`] if the message of the idempotency key was deleted.
    pub async fn create_message(
        &self,
        chat: ChatKey,
        message: &NewMessage,
        idempotency: Option<&str>,
        origin: &Origin,
    ) -> Result<Created<MessageKey>> {
        let NewMessage { content, sender } = message;
        let sender = origin.user().or(sender.as_ref().map(Sender::as_str));
        let key = idempotency
            .map(|key| IdempotencyKey::of_message(chat, origin.user(), key, content, sender));
        let write = Write::create_message(chat, content.text.as_str())
            .with_data(content.data.as_ref())
            .with_sender(sender)
            .with_idempotency(key);
        let Accepted { number, revision } = self.write(write, origin, Entity::Chat).await?;
        let key = MessageKey { chat, number };
        Ok(Created { key, revision })
    }

    /// Accepts a new text and new data for a message. The sender stays. Returns the new version.
    ///
    /// # Errors
    ///
    /// [`Error::OtherSender`] if the message is not the user's; [`Error::Changed`] if the condition does not hold.
    pub async fn update_message(
        &self,
        message: MessageKey,
        content: &MessageContent,
        condition: Option<Condition>,
        origin: &Origin,
    ) -> Result<Option<Revision>> {
        self.check_sender(message, origin).await?;
        let write = Write::update_message(message, content.text.as_str())
            .with_data(content.data.as_ref())
            .with_condition(condition);
        let accepted = self.write(write, origin, Entity::Message).await?;
        Ok(accepted.revision)
    }

    /// Accepts the deletion of a message.
    ///
    /// # Errors
    ///
    /// Same as [`Self::update_message`].
    pub async fn delete_message(
        &self,
        message: MessageKey,
        condition: Option<Condition>,
        origin: &Origin,
    ) -> Result<()> {
        self.check_sender(message, origin).await?;
        let write = Write::delete_message(message).with_condition(condition);
        self.write(write, origin, Entity::Message).await.map(drop)
    }

    /// Accepts the deletion of a chat with its messages.
    pub async fn delete_chat(&self, chat: ChatKey, origin: &Origin) -> Result<()> {
        let write = Write::delete_chat(chat);
        self.write(write, origin, Entity::Chat).await.map(drop)
    }

    /// Accepts the deletion of an application with its chats, messages and keys.
    pub async fn delete_application(&self, app: AppId, origin: &Origin) -> Result<()> {
        let write = Write::delete_application(app);
        let deleted = self.write(write, origin, Entity::Application).await;
        deleted.map(drop)
    }

    /// Accepts the deletion of all messages of a sender that were accepted until now. Waits for a moment until they are deleted;
    /// the rest of many messages is deleted later.
    pub async fn erase_sender(&self, app: AppId, user: &str) -> Result<()> {
        self.application(app).await?;
        let id = self.backend.erase_sender(app, user).await?;
        let deadline = Instant::now() + ERASURE_WAIT;
        while Instant::now() < deadline {
            if self.backend.is_erasure_finished(id).await? {
                break;
            }
            sleep(ERASURE_POLL).await;
        }
        Ok(())
    }

    /// Makes sure that a message is the user's, if a user wants to change it. A message keeps its sender, so nothing can
    /// change between this read and the write.
    async fn check_sender(&self, message: MessageKey, origin: &Origin) -> Result<()> {
        if let Some(user) = origin.user() {
            let read = self.message(message).await?;
            if read.value.sender.as_deref() != Some(user) {
                return Err(Error::OtherSender);
            }
        }
        Ok(())
    }

    /// Offers a write into something that must exist: `entity`.
    async fn write(&self, write: Write, origin: &Origin, entity: Entity) -> Result<Accepted> {
        let accepted = self.offer(write, origin).await?;
        accepted.ok_or(Error::NotFound(entity))
    }

    /// Offers a write; `None` if there is nothing to write into, or the ID is taken.
    async fn offer(&self, write: Write, origin: &Origin) -> Result<Option<Accepted>> {
        let write = write.by(origin.actor.as_ref());
        match self.backend.enqueue(&write, Some(&origin.request)).await? {
            Enqueued::Accepted { number, revision } => {
                self.counters.accepted();
                let revision = Some(revision);
                Ok(Some(Accepted { number, revision }))
            }
            Enqueued::Replayed { number } => Ok(Some(Accepted {
                number,
                revision: None,
            })),
            Enqueued::ReplayedDeleted => Err(Error::NotFound(write.kind.entity())),
            Enqueued::KeyReused => Err(Error::KeyReused),
            Enqueued::Changed => Err(Error::Changed),
            Enqueued::Missing | Enqueued::Taken => Ok(None),
        }
    }
}
