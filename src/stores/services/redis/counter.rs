//! Counters of numbers given out, and the facts by which they are raised to what is stored.

use super::{Redis, connection::ConnectionClass, failed, read_change, scripts::ScriptCall};
use crate::{
    domain::{AppId, Application, Change, ChatKey, Number},
    stores::{Result, call::call},
};

/// Owner of a counter: an application counts its chats, a chat its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterKey {
    /// The chats of an application.
    Chats(AppId),
    /// The messages of a chat.
    Messages(ChatKey),
}

/// Fact that Redis needs from the rows. It is valid for the epoch in which Redis requested it, and for 30 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The highest chat number of an application.
    HighestChat {
        /// The application.
        app: AppId,
        /// Epoch and time of the request.
        stamp: Stamp,
    },
    /// The highest message number of a chat.
    HighestMessage {
        /// The chat.
        chat: ChatKey,
        /// Epoch and time of the request.
        stamp: Stamp,
    },
}

impl Fact {
    /// The fact without the time of its request: equal for all requests of it in an epoch.
    pub fn timeless(self) -> Self {
        let timeless = |stamp| Stamp { at: 0, ..stamp };
        match self {
            Self::HighestChat { app, stamp } => Self::HighestChat {
                app,
                stamp: timeless(stamp),
            },
            Self::HighestMessage { chat, stamp } => Self::HighestMessage {
                chat,
                stamp: timeless(stamp),
            },
        }
    }
}

/// When Redis requested a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The epoch.
    pub epoch: u64,
    /// Redis' time in milliseconds.
    pub at: u64,
}

/// A counter of the current epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The highest number given out.
    pub number: Number,
    /// Creation of an application that is not stored yet.
    pub creation: Option<Application>,
}

impl CounterKey {
    fn key(self) -> String {
        match self {
            Self::Chats(app) => format!("app:{app}"),
            Self::Messages(chat) => format!("chat:{chat}"),
        }
    }

    /// Reads a key without its prefix.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (kind, owner) = key.split_once(':')?;
        match (kind, owner.split_once(':')) {
            ("app", None) => Some(Self::Chats(AppId::parse(owner)?)),
            ("chat", Some((app, number))) => Some(Self::Messages(ChatKey {
                app: AppId::parse(app)?,
                number: number.parse().ok()?,
            })),
            _ => None,
        }
    }

    /// The fact that this counter needs, requested in `epoch` and at the time `at`, as Redis writes them.
    pub(super) fn fact(self, epoch: &str, at: &str) -> Fact {
        // A stamp that cannot be read is none: Redis refuses the fact.
        let stamp = Stamp {
            epoch: epoch.parse().unwrap_or_default(),
            at: at.parse().unwrap_or_default(),
        };
        match self {
            Self::Chats(app) => Fact::HighestChat { app, stamp },
            Self::Messages(chat) => Fact::HighestMessage { chat, stamp },
        }
    }
}

impl Redis {
    /// Reads a counter; the error is the fact that it needs first.
    pub async fn counter(&self, key: CounterKey) -> Result<std::result::Result<Counter, Fact>> {
        let call = match key {
            CounterKey::Chats(_) => call!("queue", "application"),
            CounterKey::Messages(_) => call!("queue", "has_chat"),
        };
        let mut command = ScriptCall::new(|scripts| &scripts.counter);
        command.arg(key.key());
        let response = call
            .timed(self.run(ConnectionClass::Shared, &command))
            .await?;
        match response.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["counter", epoch, at] => Ok(Err(key.fact(epoch, at))),
            ["ok", number, id, payload] => Ok(Ok(Counter {
                number: number.parse().map_err(failed)?,
                creation: match id.is_empty() {
                    true => None,
                    false => Change::into_application(read_change(id, payload)?),
                },
            })),
            _ => Err(failed(format!("reading a counter returned {response:?}"))),
        }
    }

    /// Raises a counter to what is stored, `None` if nothing is; false if its owner does not exist. An outdated fact
    /// changes nothing: the next attempt requests it again.
    pub async fn learn(&self, fact: Fact, highest: Option<Number>) -> Result<bool> {
        let (key, stamp) = match fact {
            Fact::HighestChat { app, stamp } => (CounterKey::Chats(app), stamp),
            Fact::HighestMessage { chat, stamp } => (CounterKey::Messages(chat), stamp),
        };
        let highest = highest.map_or_else(|| "-1".to_owned(), |number| number.to_string());
        let mut command = ScriptCall::new(|scripts| &scripts.learn);
        command.arg(key.key()).arg(stamp.epoch);
        command.arg(&highest).arg(stamp.at);
        let scripts = self.scripts().await?;
        let response = self
            .eval(ConnectionClass::Shared, &command, &scripts)
            .await?;
        let status = response.and_then(|response| response.into_iter().next());
        Ok(status.is_none_or(|status| status != "missing"))
    }
}
