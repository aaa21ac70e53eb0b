//! The workers: what becomes of an accepted write.
//!
//! Each is a loop in a tokio task of its own (`runner`) that makes one bounded step after another, and rests when there
//! is nothing to do until it is woken or its poll is due.

mod create_application;
mod create_chat;
mod create_message;
pub mod drift;
mod index_messages;
mod queue;
mod reconcile;
mod recover;
mod runner;
mod update_chats_count;
mod update_message;
mod update_messages_count;

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    create_application::CreateApplication, create_chat::CreateChat, create_message::CreateMessage,
    drift::Drift, index_messages::IndexMessages, queue::QueueWorker, reconcile::Reconcile,
    recover::Recover, update_chats_count::UpdateChatsCount, update_message::UpdateMessage,
    update_messages_count::UpdateMessagesCount,
};
use crate::{
    config::Workers as Settings,
    stores::wakeup::Wake,
    stores::{JobQueue, Records, SearchIndex},
    telemetry::activity::Activity,
    telemetry::worker_status::Health,
};

/// What the workers work on.
#[derive(Clone)]
pub struct Context {
    /// The rows.
    pub records: Arc<dyn Records>,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// The full text.
    pub index: Arc<dyn SearchIndex>,
    /// What ends their rests early.
    pub wake: Arc<Wake>,
    /// What they have done.
    pub activity: Arc<Activity>,
    /// What the clean job finds.
    pub drift: Arc<Drift>,
    /// How they work.
    pub settings: Settings,
    /// Where each loop says what it is at.
    pub health: Arc<Health>,
    /// Cancelled when the process is to end: no new step is begun.
    pub stop: CancellationToken,
}

/// Starts all workers; the tracker tells when the last of them has ended. A process that is not to work still takes back
/// what dead ones held.
pub fn start(context: &Context) -> TaskTracker {
    let tasks = TaskTracker::new();
    if context.settings.enabled {
        start_working(&tasks, context);
    }
    runner::start(&tasks, context, Recover::new);
    tasks.close();
    tasks
}

fn start_working(tasks: &TaskTracker, context: &Context) {
    runner::start(tasks, context, QueueWorker::<CreateApplication>::new);
    runner::start(tasks, context, QueueWorker::<CreateChat>::new);
    runner::start(tasks, context, QueueWorker::<CreateMessage>::new);
    runner::start(tasks, context, QueueWorker::<UpdateMessage>::new);
    runner::start(tasks, context, UpdateChatsCount::new);
    runner::start(tasks, context, UpdateMessagesCount::new);
    runner::start(tasks, context, IndexMessages::new);
    runner::start(tasks, context, Reconcile::new);
}
