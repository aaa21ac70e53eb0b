//! Counters of numbers given out.

use super::{
    Fact, Redis, Stamp, Subject, connection::ConnectionClass, failed, read_change,
    scripts::ScriptCall,
};
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

/// A counter of the current epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Number of items that were given a number and are not deleted: of an application. The highest number: of a chat.
    pub number: Number,
    /// Creation of an application that is not stored yet.
    pub creation: Option<Application>,
}

impl CounterKey {
    /// Key without its prefix.
    pub(super) fn key(self) -> String {
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

    /// The fact that this counter needs.
    pub(super) fn fact(self, stamp: Stamp) -> Fact {
        let subject = Subject::Counter(self);
        Fact { subject, stamp }
    }
}

impl Redis {
    /// Reads a counter, `None` if its owner is deleted; the error is the fact that it needs first.
    pub async fn counter(
        &self,
        key: CounterKey,
    ) -> Result<std::result::Result<Option<Counter>, Fact>> {
        let mut command = ScriptCall::new(|scripts| &scripts.counter);
        let call = match key {
            CounterKey::Chats(app) => {
                command.arg(app.to_string()).arg("");
                call!("queue", "application")
            }
            CounterKey::Messages(ChatKey { app, number }) => {
                command.arg(app.to_string()).arg(number);
                call!("queue", "has_chat")
            }
        };
        let response = call
            .timed(self.run(ConnectionClass::Shared, &command))
            .await?;
        match response.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["missing"] => Ok(Ok(None)),
            ["counter", epoch, at] => Ok(Err(key.fact(Stamp::read(epoch, at)))),
            ["ok", number, id, payload] => Ok(Ok(Some(Counter {
                number: number.parse().map_err(failed)?,
                creation: match id.is_empty() {
                    true => None,
                    false => Change::into_application(read_change(id, payload)?),
                },
            }))),
            _ => Err(failed(format!("reading a counter returned {response:?}"))),
        }
    }
}
