//! Accepted writes on their way to the database.
//!
//! [`Kind`] is the table of possible writes. Queues, stores and workers derive everything from its action and entity.

use std::fmt;

use super::{
    AppId, Application, Chat, ChatKey, Entity, IdempotencyKey, JobOrigin, Message, MessageKey,
    Number, Revision,
};

/// Kinds of jobs. Each has its own queue and worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Store a new application.
    CreateApplication,
    /// Store a new chat.
    CreateChat,
    /// Store a new message.
    CreateMessage,
    /// Store a message's new text.
    UpdateMessage,
    /// Store the deletion of a message.
    DeleteMessage,
    /// Store the deletion of a chat.
    DeleteChat,
    /// Store the deletion of an application.
    DeleteApplication,
}

/// Effect of a job on its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Creates an entity: an application with the caller's ID, a chat or message with the next number.
    Create,
    /// Changes an existing entity.
    Update,
    /// Deletes an existing entity, and all that belongs to it.
    Delete,
}

impl Kind {
    /// All kinds, in the order in which entities are created and deleted.
    pub const ALL: [Self; 7] = [
        Self::CreateApplication,
        Self::CreateChat,
        Self::CreateMessage,
        Self::UpdateMessage,
        Self::DeleteMessage,
        Self::DeleteChat,
        Self::DeleteApplication,
    ];

    /// Name in the queue's keys, the log and the command line: `<action>_<entity>`, as Redis scripts expect.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateApplication => "create_application",
            Self::CreateChat => "create_chat",
            Self::CreateMessage => "create_message",
            Self::UpdateMessage => "update_message",
            Self::DeleteMessage => "delete_message",
            Self::DeleteChat => "delete_chat",
            Self::DeleteApplication => "delete_application",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Effect on the entity.
    pub fn action(self) -> Action {
        match self {
            Self::CreateApplication | Self::CreateChat | Self::CreateMessage => Action::Create,
            Self::UpdateMessage => Action::Update,
            Self::DeleteMessage | Self::DeleteChat | Self::DeleteApplication => Action::Delete,
        }
    }

    /// Entity that is written.
    pub fn entity(self) -> Entity {
        match self {
            Self::CreateApplication | Self::DeleteApplication => Entity::Application,
            Self::CreateChat | Self::DeleteChat => Entity::Chat,
            Self::CreateMessage | Self::UpdateMessage | Self::DeleteMessage => Entity::Message,
        }
    }
}

/// The key of an application, chat or message, as queues keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// The application.
    pub app: AppId,
    /// The chat that a message belongs to; 0 for a chat and an application.
    pub chat: Number,
    /// The number of the chat or message; 0 for an application.
    pub number: Number,
}

impl Target {
    /// The chat of a message.
    pub fn chat(self) -> ChatKey {
        ChatKey {
            app: self.app,
            number: self.chat,
        }
    }

    /// The message.
    pub fn message(self) -> MessageKey {
        MessageKey {
            chat: self.chat(),
            number: self.number,
        }
    }
}

impl From<MessageKey> for Target {
    fn from(MessageKey { chat, number }: MessageKey) -> Self {
        Self {
            app: chat.app,
            chat: chat.number,
            number,
        }
    }
}

/// `application`, `application:chat` or `application:chat:message`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, chat, number } = self;
        match (chat, number) {
            (0, 0) => write!(f, "{app}"),
            (0, number) => write!(f, "{app}:{number}"),
            (chat, number) => write!(f, "{app}:{chat}:{number}"),
        }
    }
}

/// Change that a job asks a worker to store: the state of the entity after this write. A deletion is a change to a deleted
/// entity without content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An application, as created or as deleted.
    Application(Application),
    /// A chat, as created or as deleted.
    Chat(Chat),
    /// A message, as created, as updated or as deleted.
    Message(Message),
}

impl Change {
    /// The key of what is stored.
    pub fn target(&self) -> Target {
        match self {
            Self::Application(application) => Target {
                app: application.id,
                chat: 0,
                number: 0,
            },
            Self::Chat(Chat { key, .. }) => Target {
                app: key.app,
                chat: 0,
                number: key.number,
            },
            Self::Message(message) => Target::from(message.key),
        }
    }

    /// The application, if it is one.
    pub fn into_application(self) -> Option<Application> {
        match self {
            Self::Application(application) => Some(application),
            _ => None,
        }
    }

    /// The chat, if it is one.
    pub fn into_chat(self) -> Option<Chat> {
        match self {
            Self::Chat(chat) => Some(chat),
            _ => None,
        }
    }

    /// The message, if it is one.
    pub fn into_message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

/// An accepted write, claimed by a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Position in the order of all writes, which is the job's ID.
    pub revision: Revision,
    /// Number of failures caused by the job itself.
    pub tries: u32,
    /// Request that wrote it, and who sent that, as far as known.
    pub origin: JobOrigin,
    /// Idempotency key of a creation.
    pub idempotency: Option<IdempotencyKey>,
    /// Change to store, or the reason why the payload cannot be parsed.
    pub change: std::result::Result<Change, String>,
}

/// Idempotency key of a creation that is stored, and what it created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedCreation {
    /// The created chat or message.
    pub target: Target,
    /// The key.
    pub key: IdempotencyKey,
}

impl Job {
    /// Idempotency key of the creation, and what it creates.
    pub fn keyed_creation(&self) -> Option<KeyedCreation> {
        let target = self.change.as_ref().ok()?.target();
        let key = self.idempotency?;
        Some(KeyedCreation { target, key })
    }
}
