//! What systemd is told of this process, if it is what started it (`Type=notify`, `WatchdogSec=`).

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::telemetry::worker_status::{ProcessStatus, WorkerStatus};

/// How often the status line is sent where no watchdog waits for more.
const PAUSE: Duration = Duration::from_secs(10);

/// The way to the supervisor that started this process; silent if none did.
#[derive(Debug, Clone)]
pub struct Notifier {
    process: Arc<ProcessStatus>,
    is_enabled: bool,
}

impl Notifier {
    /// Finds out from `$NOTIFY_SOCKET` whether one is listening.
    pub fn new(process: Arc<ProcessStatus>) -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        Self {
            process,
            is_enabled: socket.is_some_and(|path| !path.is_empty()),
        }
    }

    /// The process listens. From now on the watchdog is fed twice in the time that it waits, for as long as every worker's
    /// loop gets on: one that stands still is healed by nothing but a new start, which systemd sees to. An outage of a
    /// store is no such case, as a loop that cannot do its work ends its step.
    ///
    /// It goes on until the process is gone.
    pub fn ready(&self) {
        if !self.is_enabled {
            return;
        }
        self.send(&[NotifyState::Ready]);
        let watchdog = sd_notify::watchdog_enabled();
        let pause = watchdog.map_or(PAUSE, |limit| limit / 2);
        let notifier = self.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                notifier.report();
            }
        });
    }

    /// The process is about to end, in order.
    pub fn stopping(&self) {
        let status = "ending: requests and batches in hand are finished";
        self.send(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    fn report(&self) {
        let workers = self.process.workers();
        let names = |chosen: fn(&WorkerStatus) -> bool| {
            let chosen = workers.iter().filter(|worker| chosen(worker));
            chosen
                .map(|worker| worker.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let stalled = names(|worker| worker.stalled.is_some());
        if !stalled.is_empty() {
            let status = format!("stands still: {stalled}");
            warn!(status, "the watchdog is not fed");
            return self.send(&[NotifyState::Status(&status)]);
        }
        let failing = names(|worker| worker.error.is_some());
        let status = match (self.process.is_ending(), workers.len(), failing.as_str()) {
            // It was said already.
            (true, ..) => return self.send(&[NotifyState::Watchdog]),
            (false, 0, _) => "serving; the workers wait for the database's schema".into(),
            (false, _, "") => "serving; all workers are well".into(),
            (false, _, failing) => format!("serving; out of order: {failing}"),
        };
        self.send(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if self.is_enabled
            && let Err(error) = sd_notify::notify(states)
        {
            warn!(%error, "cannot notify the supervisor");
        }
    }
}
