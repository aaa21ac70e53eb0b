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

/// The longest pause after an outage: what comes good is used again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long what follows from stored messages may come together: a bulk request, or a transaction, costs much the same
/// for one of them as for a hundred. The index shows what it is told once a second.
const BATCHING_DELAY: Duration = Duration::from_millis(50);

/// What a step found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There may be more: go on at once.
    Worked,
    /// That was all, and more may come soon: let some come together.
    CaughtUp,
    /// Nothing: rest.
    Idle,
}

/// One worker. A step must be bounded, and may be given up at any point at which it waits: nothing may be lost by it.
#[async_trait]
pub trait Worker: Send {
    /// As in the log.
    fn name(&self) -> &'static str;
    /// What ends its rest early.
    fn wakeup(&self) -> Option<&Notify>;
    /// How long it rests when there is nothing to do.
    fn poll_interval(&self) -> Duration;
    /// How long a step may take, as a multiple of `workers.stall_ms`.
    fn stall_factor(&self) -> u32 {
        1
    }
    /// Whether a step is given up at the end of the process instead of finished: where it may have to wait for an index
    /// that does not answer, and whoever comes next does the same.
    fn is_cancelled_at_shutdown(&self) -> bool {
        false
    }
    /// Does a piece of its work.
    async fn step(&mut self) -> Result<Step>;
}

/// Runs the worker that `make` makes until the process is to end; a new one whenever it dies.
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
                Ok(()) => error!(worker = name, "a worker ended; it is started again"),
                Err(panic) => error!(worker = name, %panic, "a worker died; it is started again"),
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

/// The breaker: after an error the worker pauses, the longer the more follow each other.
#[derive(Debug, Default)]
pub struct Pause {
    errors: u32,
}

impl Pause {
    /// How long to pause after an error. Only the first of a row is logged in full.
    pub fn next(&mut self, error: &Error) -> Duration {
        if self.errors == 0 {
            warn!(%error, "pausing until it comes good");
        }
        let full = FIRST_PAUSE * 2_u32.saturating_pow(self.errors.min(10));
        self.errors = self.errors.saturating_add(1);
        jitter(full.min(LONGEST_PAUSE))
    }

    fn end(&mut self) {
        if self.errors > 0 {
            info!(errors = self.errors, "all is well again");
            self.errors = 0;
        }
    }
}

/// Something between nothing and all of it, so that many who wait do not come back together.
pub fn jitter(time: Duration) -> Duration {
    time.mul_f64(rand::random::<f64>())
}

/// Passes a step at which tests make workers fail.
pub async fn failpoint(step: &'static str) -> Result<()> {
    if failpoints::reach(step).await {
        return Err(Error::Unavailable {
            store: "nothing",
            detail: format!("planned, at {step}"),
        });
    }
    Ok(())
}
