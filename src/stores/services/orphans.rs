//! Chats that have messages and no row.

use super::Services;
use crate::{domain::Chat, stores::Result};

impl Services {
    /// Creates the missing rows of chats, except in deleted applications.
    pub async fn adopt_chats(&self, chats: &[Chat]) -> Result<()> {
        for chat in chats {
            let epoch = self.redis.epoch().await?;
            let revisions = || self.redis.next_revision(chat.key.app, epoch);
            self.mysql.adopt_chat(chat, epoch, revisions).await?;
        }
        Ok(())
    }
}
