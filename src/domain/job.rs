//! Accepted writes on their way to the database.

use super::{AppId, Application, Chat, ChatKey, Message, MessageKey, Revision};

/// The kinds of jobs that wait in a queue, each with a list and a worker of its own.
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

impl Kind {
    /// All kinds, in the order in which things come to be.
    pub const ALL: [Self; 4] = [
        Self::CreateApplication,
        Self::CreateChat,
        Self::CreateMessage,
        Self::UpdateMessage,
    ];

    /// The worker's name, as in the queue's keys, the log and the command line.
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
}

/// A write that a client asks for, checked, not yet accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A new application under an id that is thought to be free.
    CreateApplication {
        /// The id it shall have.
        id: AppId,
        /// Who it belongs to.
        username: String,
    },
    /// The next chat of an application.
    CreateChat {
        /// The application.
        app: AppId,
    },
    /// The next message of a chat.
    CreateMessage {
        /// The chat.
        chat: ChatKey,
        /// What is said.
        text: String,
    },
    /// A new text for a message.
    UpdateMessage {
        /// The message.
        message: MessageKey,
        /// What is said now.
        text: String,
    },
}

impl Write {
    /// Which queue it goes to.
    pub fn kind(&self) -> Kind {
        match self {
            Self::CreateApplication { .. } => Kind::CreateApplication,
            Self::CreateChat { .. } => Kind::CreateChat,
            Self::CreateMessage { .. } => Kind::CreateMessage,
            Self::UpdateMessage { .. } => Kind::UpdateMessage,
        }
    }
}

/// What a job asks a worker to store: the thing as this one write left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A new application.
    Application(Application),
    /// A new chat.
    Chat(Chat),
    /// A message, as created or as updated.
    Message(Message),
}

impl Entry {
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
    /// Its place in the order of all writes; its id.
    pub revision: Revision,
    /// How often it failed by its own fault.
    pub tries: u32,
    /// The request that left it, if that is known.
    pub request: Option<String>,
    /// What to store, or why this program cannot read it.
    pub entry: std::result::Result<Entry, String>,
}
