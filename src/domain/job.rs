//! Accepted writes on their way to the database.
//!
//! [`Kind`] is the table of possible writes. Queues, stores and workers derive everything from its action and entity.

use std::fmt;

use super::{
    Actor, AppId, Application, Chat, ChatKey, Entity, JobOrigin, Message, MessageData, MessageKey,
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
}

/// Effect of a job on its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Creates an entity: an application with the caller's ID, a chat or message with the next number.
    Create,
    /// Changes an existing entity.
    Update,
}

impl Kind {
    /// All kinds, in the order in which entities are created.
    pub const ALL: [Self; 4] = [
        Self::CreateApplication,
        Self::CreateChat,
        Self::CreateMessage,
        Self::UpdateMessage,
    ];

    /// Name in the queue's keys, the log and the command line: `<action>_<entity>`, as Redis scripts expect.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateApplication => "create_application",
            Self::CreateChat => "create_chat",
            Self::CreateMessage => "create_message",
            Self::UpdateMessage => "update_message",
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
        }
    }

    /// Entity that is written.
    pub fn entity(self) -> Entity {
        match self {
            Self::CreateApplication => Entity::Application,
            Self::CreateChat => Entity::Chat,
            Self::CreateMessage | Self::UpdateMessage => Entity::Message,
        }
    }
}

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
    /// Who requested it; `None` in open mode.
    pub actor: Option<Actor>,
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

    fn new(kind: Kind, app: AppId, chat: Number, number: Number, text: Option<String>) -> Self {
        let target = Target { app, chat, number };
        Self {
            kind,
            target,
            text,
            data: None,
            sender: None,
            actor: None,
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

/// Change that a job asks a worker to store: the state of the entity after this write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new application.
    Application(Application),
    /// A new chat.
    Chat(Chat),
    /// A message, as created or as updated.
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
    /// Change to store, or the reason why the payload cannot be parsed.
    pub change: std::result::Result<Change, String>,
}
