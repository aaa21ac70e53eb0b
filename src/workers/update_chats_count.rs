//! Adds up the chats that were stored, for their application.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::stores::Result;

/// See the module.
pub struct UpdateChatsCount(Context);

impl UpdateChatsCount {
    /// Begins with nothing in hand.
    pub fn new(context: &Context) -> Self {
        Self(context.clone())
    }
}

#[async_trait]
impl Worker for UpdateChatsCount {
    fn name(&self) -> &'static str {
        "update_chats_count"
    }

    fn bell(&self) -> Option<&Notify> {
        Some(&self.0.wake.chats_stored)
    }

    fn rest(&self) -> Duration {
        self.0.settings.poll
    }

    async fn step(&mut self) -> Result<Step> {
        let applied = self
            .0
            .records
            .apply_chats_counts(self.0.settings.batch)
            .await?;
        Ok(match applied {
            0 => Step::Idle,
            some if some < self.0.settings.batch => Step::CaughtUp,
            _ => Step::Worked,
        })
    }
}
