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

/// Fact that Redis needs from the rows. It is valid for the epoch in which Redis requested it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The highest chat number of an application.
    HighestChat {
        /// The application.
        app: AppId,
        /// The epoch.
        epoch: u64,
    },
    /// The highest message number of a chat.
    HighestMessage {
        /// The chat.
        chat: ChatKey,
        /// The epoch.
        epoch: u64,
    },
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

    /// The fact that this counter needs in `epoch`, as Redis writes it.
    pub(super) fn fact(self, epoch: &str) -> Fact {
        // An epoch that cannot be read is none: Redis refuses the fact.
        let epoch = epoch.parse().unwrap_or_default();
        match self {
            Self::Chats(app) => Fact::HighestChat { app, epoch },
            Self::Messages(chat) => Fact::HighestMessage { chat, epoch },
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
            ["counter", epoch] => Ok(Err(key.fact(epoch))),
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

    /// Raises a counter to what is stored, `None` if nothing is; false if its owner does not exist. A fact of an older
    /// epoch changes nothing: the next attempt requests it again.
    pub async fn learn(&self, fact: Fact, highest: Option<Number>) -> Result<bool> {
        let (key, epoch) = match fact {
            Fact::HighestChat { app, epoch } => (CounterKey::Chats(app), epoch),
            Fact::HighestMessage { chat, epoch } => (CounterKey::Messages(chat), epoch),
        };
        let highest = highest.map_or_else(|| "-1".to_owned(), |number| number.to_string());
        let mut command = ScriptCall::new(|scripts| &scripts.learn);
        command.arg(key.key()).arg(epoch).arg(&highest);
        let scripts = self.scripts().await?;
        let response = self
            .eval(ConnectionClass::Shared, &command, &scripts)
            .await?;
        let status = response.and_then(|response| response.into_iter().next());
        Ok(status.is_none_or(|status| status != "missing"))
    }
}
