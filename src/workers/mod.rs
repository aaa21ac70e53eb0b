//! Workers, which store accepted writes and maintain index and counts.
//!
//! Each worker is a loop in its own tokio task (`runner`) that runs one bounded step after another. When there is
//! nothing to do, it waits for a notification or its polling interval.

mod batch_size;
mod counts;
mod erase;
mod evict_idle;
mod expire_messages;
mod index_messages;
mod persist;
mod reconcile;
mod recover;
mod runner;
mod watch_redis;
mod worker_lock;

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    counts::UpdateCounts, erase::Erase, evict_idle::EvictIdle, expire_messages::ExpireMessages,
    index_messages::IndexMessages, persist::Persist, reconcile::Reconcile, recover::Recover,
    runner::Worker, watch_redis::WatchRedis,
};
use crate::{
    config::Workers as Settings,
    domain::Kind,
    maintenance::Maintenance,
    stores::{Backend, Services},
    telemetry::{worker_status::ProcessStatus, write_counters::WriteCounters},
};

/// State that the workers share.
#[derive(Clone)]
pub struct Context {
    /// The stores.
    pub backend: Backend,
    /// Comparisons and rebuilds, for the reconciler.
    pub maintenance: Maintenance,
    /// Totals of what they have done.
    pub counters: Arc<WriteCounters>,
    /// Settings of the workers.
    pub settings: Settings,
    /// Age at which messages are deleted; `None`: never.
    pub messages_age: Option<Duration>,
    /// The status of each worker.
    pub process: Arc<ProcessStatus>,
    /// Cancelled when the process is to end: no new step is begun.
    pub stop: CancellationToken,
}

/// Starts all workers of the backend; the tracker ends with the last of them. A process without workers still recovers
/// jobs of crashed claimers and watches Redis.
pub fn start(context: &Context) -> TaskTracker {
    let tasks = TaskTracker::new();
    if context.settings.enabled {
        for kind in Kind::ALL {
            runner::start(&tasks, context, move |context| Persist::new(context, kind));
        }
        runner::start(&tasks, context, Reconcile::new);
        runner::start(&tasks, context, Erase::new);
        if let Some(age) = context.messages_age {
            runner::start(&tasks, context, move |context| {
                ExpireMessages::new(context, age)
            });
        }
        // The embedded backend writes index and counts in the rows' own transactions.
        if let Backend::Services(services) = &context.backend {
            start_for(&tasks, context, services, UpdateCounts::of_chats);
            start_for(&tasks, context, services, UpdateCounts::of_messages);
            start_for(&tasks, context, services, IndexMessages::new);
            start_for(&tasks, context, services, EvictIdle::new);
        }
    }
    if let Backend::Services(services) = &context.backend {
        start_for(&tasks, context, services, WatchRedis::new);
    }
    runner::start(&tasks, context, Recover::new);
    tasks.close();
    tasks
}

/// Starts a worker that only the services have.
fn start_for<W: Worker + 'static>(
    tasks: &TaskTracker,
    context: &Context,
    services: &Arc<Services>,
    make: fn(&Context, &Arc<Services>) -> W,
) {
    let services = services.clone();
    runner::start(tasks, context, move |context| make(context, &services));
}
