//! Retention of messages.

use std::time::Duration;

use super::{Backend, Result};
use crate::domain::ChatKey;

/// Outcome of a step of the retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Number of messages that it removed.
    pub messages: usize,
    /// The chat after which the next step continues; `None`: with the first.
    pub last: Option<ChatKey>,
    /// Tells whether it has looked at the last chat.
    pub is_done: bool,
}

impl Backend {
    /// Deletes messages that were created longer than `age` ago, if all earlier ones of their chat are deleted or as old:
    /// about `limit` of them, in chats after `after`. Nobody can read them from then on.
    ///
    /// Only one process at a time should do this. A step that was interrupted is continued by the next pass.
    pub async fn expire_messages(
        &self,
        age: Duration,
        after: Option<ChatKey>,
        limit: usize,
    ) -> Result<Expired> {
        dispatch!(self.expire_messages(age, after, limit), services: expire_messages)
    }
}
