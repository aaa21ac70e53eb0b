//! Notifications to systemd, if it started this process (`Type=notify`, `WatchdogSec=`).

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::telemetry::worker_status::{ProcessStatus, WorkerStatus};

/// Interval of status updates if there is no watchdog.
const PAUSE: Duration = Duration::from_secs(10);

/// Notifier of systemd; does nothing if systemd did not start this process.
#[derive(Debug, Clone)]
pub struct Notifier {
    process: Arc<ProcessStatus>,
    is_enabled: bool,
}

impl Notifier {
    /// Creates the notifier, enabled if `$NOTIFY_SOCKET` is set.
    pub fn new(process: Arc<ProcessStatus>) -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        Self {
            process,
            is_enabled: socket.is_some_and(|path| !path.is_empty()),
        }
    }

    /// Reports readiness. Then notifies the watchdog twice per watchdog period while no worker is stalled: only a restart
    /// by systemd ends a stall. An outage of a store is no stall, because a step that fails ends.
    ///
    /// It runs until the process ends.
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

    /// Reports the start of the shutdown.
    pub fn stopping(&self) {
        let status = "shutting down: open requests and batches are being finished";
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
            let status = format!("stalled: {stalled}");
            warn!(
                status,
                "systemd watchdog not notified: a worker is stalled; systemd restarts the process"
            );
            return self.send(&[NotifyState::Status(&status)]);
        }
        let failing = names(|worker| worker.error.is_some());
        let status = match (self.process.is_ending(), workers.len(), failing.as_str()) {
            // The status was set by `stopping`.
            (true, ..) => return self.send(&[NotifyState::Watchdog]),
            (false, 0, _) => "serving; the workers wait for the schema migration".into(),
            (false, _, "") => "serving; all workers are running".into(),
            (false, _, failing) => format!("serving; failing: {failing}"),
        };
        self.send(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if self.is_enabled
            && let Err(error) = sd_notify::notify(states)
        {
            warn!(%error, "Failed to notify systemd");
        }
    }
}
