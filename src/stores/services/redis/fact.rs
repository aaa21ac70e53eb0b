//! Facts that only the rows hold, and what Redis keeps of them.
//!
//! Redis requests a fact with a stamp. It refuses the answer in another epoch, and after 30 s. What is stored meanwhile leaves
//! a mark in Redis for 60 s, which overrides the fact.

use super::{CounterKey, Redis, connection::ConnectionClass, scripts::ScriptCall};
use crate::{
    domain::{Hash, MessageKey, Number, Revision},
    stores::Result,
};

/// Fact that Redis needs from the rows. It is valid for the epoch in which Redis requested it, and for 30 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fact {
    /// What the fact is about.
    pub subject: Subject,
    /// Epoch and time of the request.
    pub stamp: Stamp,
}

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The highest number of a counter, and whether its owner is deleted.
    Counter(CounterKey),
    /// The version of a message.
    Version(MessageKey),
    /// What was created with the idempotency key of this ID.
    Creation(Hash),
}

/// When Redis requested a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The epoch.
    pub epoch: u64,
    /// Redis' time in milliseconds.
    pub at: u64,
}

impl Stamp {
    /// Reads what Redis writes. A stamp that cannot be read is none: Redis refuses the fact.
    pub(super) fn read(epoch: &str, at: &str) -> Self {
        Self {
            epoch: epoch.parse().unwrap_or_default(),
            at: at.parse().unwrap_or_default(),
        }
    }
}

impl Fact {
    /// The fact without the time of its request: equal for all requests of it in an epoch.
    pub fn timeless(self) -> Self {
        let stamp = Stamp {
            at: 0,
            ..self.stamp
        };
        Self { stamp, ..self }
    }
}

/// What MySQL holds of a counter's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredCounter {
    /// Nothing.
    Missing,
    /// The owner is deleted, or its application.
    Deleted,
    /// The highest number, and how many chats of an application are deleted.
    Highest {
        /// The highest number; 0 if there is none.
        number: Number,
        /// Number of deleted chats; 0 for a chat.
        deleted_chats: u64,
    },
}

/// What MySQL holds of a message or idempotency key, for the script that accepts writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Neither the message nor the key.
    Nothing,
    /// The message has this version.
    Version(Revision),
    /// The message is deleted.
    DeletedMessage(Revision),
    /// Something was created with the key.
    Creation {
        /// The number of the chat or message.
        number: Number,
        /// Hash of the body; `None` if what was created is deleted.
        body: Option<Hash>,
    },
}

impl Stored {
    /// The fact in the words of the script.
    pub(super) fn words(self, subject: Subject, stamp: Stamp) -> String {
        let Stamp { epoch, at } = stamp;
        let answer = match (self, subject) {
            (Self::Version(revision), _) => format!("{revision} present"),
            (Self::DeletedMessage(revision), _) => format!("{revision} gone"),
            (Self::Creation { number, body }, _) => {
                let body = body.map_or_else(|| "-".to_owned(), Hash::to_hex);
                format!("{number} {body}")
            }
            (Self::Nothing, Subject::Creation(_)) => "- -".to_owned(),
            (Self::Nothing, _) => "- gone".to_owned(),
        };
        format!("{epoch} {at} {answer}")
    }
}

impl Redis {
    /// Raises a counter to what is stored; false if its owner does not exist. An outdated fact changes nothing: the next
    /// attempt requests it again.
    pub async fn learn(
        &self,
        counter: CounterKey,
        stamp: Stamp,
        stored: StoredCounter,
    ) -> Result<bool> {
        let mut command = ScriptCall::new(|scripts| &scripts.learn);
        command.arg(counter.key()).arg(stamp.epoch).arg(stamp.at);
        match stored {
            StoredCounter::Missing => command.arg("missing"),
            StoredCounter::Deleted => command.arg("deleted"),
            StoredCounter::Highest { number, .. } => command.arg(number),
        };
        if let CounterKey::Chats(_) = counter {
            command.arg(match stored {
                StoredCounter::Highest { deleted_chats, .. } => deleted_chats,
                StoredCounter::Missing | StoredCounter::Deleted => 0,
            });
        }
        let scripts = self.scripts().await?;
        let response = self
            .eval(ConnectionClass::Shared, &command, &scripts)
            .await?;
        let status = response.and_then(|response| response.into_iter().next());
        Ok(status.is_none_or(|status| status != "missing"))
    }
}
