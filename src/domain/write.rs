//! Valid writes, as clients request them.

use super::{
    Action, Actor, AppId, ChatKey, Condition, Entity, IdempotencyKey, Kind, Message, MessageData,
    MessageKey, Number, job::Target,
};

/// Valid write that a client requests and the queue has not accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The queue it goes to.
    pub kind: Kind,
    /// Key of the written entity; a number that is not assigned yet is 0.
    pub target: Target,
    /// Content to store: a username, or the text of a message.
    pub text: Option<String>,
    /// Data of a message, as compact JSON.
    pub data: Option<String>,
    /// Sender of a new message.
    pub sender: Option<String>,
    /// Key and user that requested it; `None` in open mode.
    pub actor: Option<Actor>,
    /// Idempotency key of a creation.
    pub idempotency: Option<IdempotencyKey>,
    /// Condition on the version of a message that is updated or deleted.
    pub condition: Option<Condition>,
}

impl Write {
    /// Creates an application under an ID that is probably free.
    pub fn create_application(app: AppId, username: impl Into<String>) -> Self {
        Self::new(Kind::CreateApplication, app, 0, 0, Some(username.into()))
    }

    /// The next chat of an application.
    pub fn create_chat(app: AppId) -> Self {
        Self::new(Kind::CreateChat, app, 0, 0, None)
    }

    /// The next message of a chat.
    pub fn create_message(chat: ChatKey, text: impl Into<String>) -> Self {
        let text = Some(text.into());
        Self::new(Kind::CreateMessage, chat.app, chat.number, 0, text)
    }

    /// A new text for a message, whose data is removed.
    pub fn update_message(
        MessageKey { chat, number }: MessageKey,
        text: impl Into<String>,
    ) -> Self {
        let text = Some(text.into());
        Self::new(Kind::UpdateMessage, chat.app, chat.number, number, text)
    }

    /// Gives a message the text and data that it has, as a new version.
    pub fn rewrite_message(message: &Message) -> Self {
        Self {
            data: message.data.clone(),
            ..Self::update_message(message.key, &message.text)
        }
    }

    /// Deletes a message.
    pub fn delete_message(MessageKey { chat, number }: MessageKey) -> Self {
        Self::new(Kind::DeleteMessage, chat.app, chat.number, number, None)
    }

    /// Deletes a chat with its messages.
    pub fn delete_chat(ChatKey { app, number }: ChatKey) -> Self {
        Self::new(Kind::DeleteChat, app, 0, number, None)
    }

    /// Deletes an application with its chats, messages and keys.
    pub fn delete_application(app: AppId) -> Self {
        Self::new(Kind::DeleteApplication, app, 0, 0, None)
    }

    /// Deletes what a job of this kind creates; `None` if it creates nothing.
    pub fn deletion_of(kind: Kind, Target { app, chat, number }: Target) -> Option<Self> {
        if kind.action() != Action::Create {
            return None;
        }
        let deletion = match kind.entity() {
            Entity::Application => Kind::DeleteApplication,
            Entity::Chat => Kind::DeleteChat,
            Entity::Message => Kind::DeleteMessage,
        };
        Some(Self::new(deletion, app, chat, number, None))
    }

    fn new(kind: Kind, app: AppId, chat: Number, number: Number, text: Option<String>) -> Self {
        let target = Target { app, chat, number };
        Self {
            kind,
            target,
            text,
            data: None,
            sender: None,
            actor: None,
            idempotency: None,
            condition: None,
        }
    }

    /// Names who requested it.
    pub fn by(self, actor: Option<&Actor>) -> Self {
        let actor = actor.cloned();
        Self { actor, ..self }
    }

    /// Adds the data of a message.
    pub fn with_data(self, data: Option<&MessageData>) -> Self {
        let data = data.map(|data| data.as_str().to_owned());
        Self { data, ..self }
    }

    /// Adds the sender of a new message.
    pub fn with_sender(self, sender: Option<&str>) -> Self {
        let sender = sender.map(str::to_owned);
        Self { sender, ..self }
    }

    /// Makes a repeated creation return the outcome of the first one.
    pub fn with_idempotency(self, idempotency: Option<IdempotencyKey>) -> Self {
        Self {
            idempotency,
            ..self
        }
    }

    /// Accepts an update or deletion only if the message has a version that the condition names.
    pub fn with_condition(self, condition: Option<Condition>) -> Self {
        Self { condition, ..self }
    }
}
