//! The loop that every worker runs in.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, error, error_span, info, warn};

use super::Context;
use crate::{
    failpoints,
    stores::{Error, Result},
    telemetry::worker_status::Heartbeat,
};

/// Maximum pause after errors: a store that recovers is used again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Time in which changes accumulate after a step caught up: a bulk request or transaction costs about the same for one
/// change as for a hundred, and the index refreshes once a second.
const BATCHING_DELAY: Duration = Duration::from_millis(50);

/// Outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There may be more work: the next step starts at once.
    Worked,
    /// All work is done, and more may arrive soon: the next step starts after a short delay.
    CaughtUp,
    /// There was no work: the loop waits for a notification or its polling interval.
    Idle,
}

/// Worker. A step must be bounded and cancel-safe: it may be dropped wherever it waits.
#[async_trait]
pub trait Worker: Send {
    /// Name in logs, metrics and readiness.
    fn name(&self) -> &'static str;
    /// Notification that ends the wait early.
    fn wakeup(&self) -> Option<&Notify>;
    /// Interval between steps when there is nothing to do.
    fn poll_interval(&self) -> Duration;
    /// Time limit of a step, as a multiple of `workers.stall_ms`.
    fn stall_factor(&self) -> u32 {
        1
    }
    /// Tells whether a step is cancelled at shutdown instead of finished: one that may wait for an unavailable index.
    fn is_cancelled_at_shutdown(&self) -> bool {
        false
    }
    /// Runs one step.
    async fn step(&mut self) -> Result<Step>;
}

/// Runs a worker, made by `make`, until shutdown. Restarts it when it panics.
pub fn start<W: Worker + 'static>(
    tasks: &TaskTracker,
    context: &Context,
    make: impl Fn(&Context) -> W + Send + 'static,
) {
    let context = context.clone();
    tasks.spawn(async move {
        loop {
            let worker = make(&context);
            let name = worker.name();
            let stall_after = context.settings.stall * worker.stall_factor();
            let heartbeat = context.process.heartbeat(name, stall_after);
            let span = error_span!("worker", worker = name);
            let task = run(worker, heartbeat.clone(), context.stop.clone()).instrument(span);
            let ended = tokio::spawn(task).await;
            if context.stop.is_cancelled() {
                break;
            }
            heartbeat.restart();
            match ended {
                Ok(()) => error!(worker = name, "Worker ended unexpectedly; restarting it"),
                Err(panic) => error!(worker = name, %panic, "Worker panicked; restarting it"),
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    });
}

async fn run(mut worker: impl Worker, heartbeat: Arc<Heartbeat>, stop: CancellationToken) {
    let mut pause = Pause::default();
    let cancelled = match worker.is_cancelled_at_shutdown() {
        true => stop.clone(),
        false => CancellationToken::new(),
    };
    while !stop.is_cancelled() {
        heartbeat.beat();
        let Some(outcome) = cancelled.run_until_cancelled(worker.step()).await else {
            break;
        };
        match outcome {
            Ok(step) => {
                heartbeat.succeed();
                pause.end();
                let (wakeup, interval) = match step {
                    Step::Worked => continue,
                    Step::CaughtUp => (None, BATCHING_DELAY),
                    Step::Idle => (worker.wakeup(), worker.poll_interval()),
                };
                tokio::select! {
                    () = notified(wakeup) => {}
                    () = tokio::time::sleep(interval) => {}
                    () = stop.cancelled() => {}
                }
            }
            Err(error) => {
                heartbeat.fail(error.to_string());
                let time = pause.next(&error);
                tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
}

async fn notified(wakeup: Option<&Notify>) {
    match wakeup {
        Some(wakeup) => wakeup.notified().await,
        None => std::future::pending().await,
    }
}

/// Backoff of a worker: each consecutive error doubles the pause.
#[derive(Debug, Default)]
pub struct Pause {
    errors: u32,
}

impl Pause {
    /// Returns the pause after an error. Only the first of consecutive errors is logged.
    pub fn next(&mut self, error: &Error) -> Duration {
        if self.errors == 0 {
            warn!(%error, "Worker paused after an error; it retries until the error is gone");
        }
        let full = FIRST_PAUSE * 2_u32.saturating_pow(self.errors.min(10));
        self.errors = self.errors.saturating_add(1);
        jitter(full.min(LONGEST_PAUSE))
    }

    fn end(&mut self) {
        if self.errors > 0 {
            info!(errors = self.errors, "Worker recovered");
            self.errors = 0;
        }
    }
}

/// Random duration up to `time`, so that many waiters do not retry at once.
pub fn jitter(time: Duration) -> Duration {
    time.mul_f64(rand::random::<f64>())
}

/// Passes a failpoint, at which tests make workers fail.
pub async fn failpoint(step: &'static str) -> Result<()> {
    if failpoints::reach(step).await {
        return Err(Error::Unavailable {
            store: "Failpoint",
            detail: format!("planned, at {step}"),
        });
    }
    Ok(())
}
