//! Status of the process and of its workers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Status of the process, written by workers and the shutdown, read by readiness, the dashboard and systemd.
#[derive(Debug, Default)]
pub struct ProcessStatus {
    ending: AtomicBool,
    /// The last alarms, the oldest first.
    alarms: Mutex<Vec<String>>,
    heartbeats: Mutex<BTreeMap<&'static str, Arc<Heartbeat>>>,
}

/// Maximum number of alarms that are kept.
const ALARMS: usize = 10;

/// Heartbeat of one worker's loop.
#[derive(Debug)]
pub struct Heartbeat {
    /// Time limit of a step, after which the loop counts as stalled.
    stall_after: Duration,
    restarts: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    /// Start of the current step; `None` between steps.
    busy: Option<Instant>,
    /// Error of the last step.
    error: Option<String>,
    /// Duration of the last step.
    took: Duration,
}

/// Status of a worker's loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The worker.
    pub name: &'static str,
    /// Duration of the current step, if it exceeds the limit.
    pub stalled: Option<Duration>,
    /// Error of the last step; the loop pauses and retries.
    pub error: Option<String>,
    /// Duration of the last step.
    pub latency: Duration,
    /// Number of restarts of the loop.
    pub restarts: u64,
}

impl ProcessStatus {
    /// Records the start of the shutdown, which ends readiness.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Tells whether the process is shutting down.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Records an alarm: something that an operator must know and that no later success ends. It is shown until the
    /// process ends.
    pub fn raise_alarm(&self, alarm: String) {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        if !alarms.contains(&alarm) {
            if alarms.len() >= ALARMS {
                alarms.remove(0);
            }
            alarms.push(alarm);
        }
    }

    /// The last alarms, the oldest first.
    pub fn alarms(&self) -> Vec<String> {
        let alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.clone()
    }

    /// Heartbeat of a worker, shared by all restarts of its loop. A step may take up to `stall_after`.
    pub fn heartbeat(&self, name: &'static str, stall_after: Duration) -> Arc<Heartbeat> {
        let mut heartbeats = self.heartbeats();
        let heartbeat = heartbeats.entry(name).or_insert_with(|| {
            Arc::new(Heartbeat {
                stall_after,
                restarts: AtomicU64::new(0),
                now: Mutex::default(),
            })
        });
        heartbeat.clone()
    }

    /// Records progress of a worker's long step.
    pub fn beat(&self, name: &'static str) {
        let heartbeats = self.heartbeats();
        if let Some(heartbeat) = heartbeats.get(name) {
            heartbeat.beat();
        }
    }

    /// Every worker's loop that this process runs, by name.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        let heartbeats = self.heartbeats();
        let statuses = heartbeats
            .iter()
            .map(|(name, heartbeat)| heartbeat.status(name));
        statuses.collect()
    }

    fn heartbeats(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<Heartbeat>>> {
        self.heartbeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    /// Records the start or progress of a step.
    pub fn beat(&self) {
        self.now().busy = Some(Instant::now());
    }

    /// Records the success of a step.
    pub fn succeed(&self) {
        self.end_step(None);
    }

    /// Records the failure of a step.
    pub fn fail(&self, error: String) {
        self.end_step(Some(error));
    }

    /// Records a restart of the loop.
    pub fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.succeed();
    }

    fn end_step(&self, error: Option<String>) {
        let mut now = self.now();
        let took = now.busy.map_or(now.took, |since| since.elapsed());
        *now = Now {
            busy: None,
            error,
            took,
        };
    }

    /// Locks the state. No code panics in an inconsistent state under this lock, so poisoning is ignored.
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, name: &'static str) -> WorkerStatus {
        let now = self.now();
        let busy = now.busy.map(|since| since.elapsed());
        WorkerStatus {
            name,
            stalled: busy.filter(|busy| *busy > self.stall_after),
            error: now.error.clone(),
            latency: now.took,
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_takes_too_long_is_a_stall_until_it_ends() {
        let process = ProcessStatus::default();
        let heartbeat = process.heartbeat("slow", Duration::ZERO);
        let stalled = || process.workers()[0].stalled.is_some();
        assert!(!stalled());
        heartbeat.beat();
        std::thread::sleep(Duration::from_millis(1));
        assert!(stalled());
        heartbeat.succeed();
        assert!(!stalled());
    }

    #[test]
    fn a_worker_that_is_started_again_keeps_its_count() {
        let process = ProcessStatus::default();
        process.heartbeat("frail", Duration::MAX).restart();
        process.heartbeat("frail", Duration::MAX).restart();
        assert_eq!(process.workers()[0].restarts, 2);
    }
}
