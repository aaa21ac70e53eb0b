//! Updates counts: chats of applications and messages of chats (services).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Context,
    runner::{Step, Worker},
};
use crate::stores::{
    Result, Services, Wakeups,
    services::mysql::{CHATS, Count, MESSAGES},
};

/// The worker of one count.
pub struct UpdateCounts {
    context: Context,
    services: Arc<Services>,
    name: &'static str,
    count: &'static Count,
    wakeup: fn(&Wakeups) -> &Notify,
}

impl UpdateCounts {
    /// Chats of applications.
    pub fn of_chats(context: &Context, services: &Arc<Services>) -> Self {
        Self {
            context: context.clone(),
            services: services.clone(),
            name: "update_chats_count",
            count: &CHATS,
            wakeup: |wakeups| &wakeups.chats_count,
        }
    }

    /// Messages of chats.
    pub fn of_messages(context: &Context, services: &Arc<Services>) -> Self {
        Self {
            name: "update_messages_count",
            count: &MESSAGES,
            wakeup: |wakeups| &wakeups.messages_count,
            ..Self::of_chats(context, services)
        }
    }
}

#[async_trait]
impl Worker for UpdateCounts {
    fn name(&self) -> &'static str {
        self.name
    }

    fn wakeup(&self) -> Option<&Notify> {
        Some((self.wakeup)(self.context.backend.wakeups()))
    }

    fn poll_interval(&self) -> Duration {
        self.context.settings.poll
    }

    async fn step(&mut self) -> Result<Step> {
        let batch = self.context.settings.batch;
        let applied = self.services.mysql.apply_counts(self.count, batch).await?;
        Ok(match applied {
            0 => Step::Idle,
            some if some < batch => Step::CaughtUp,
            _ => Step::Worked,
        })
    }
}
