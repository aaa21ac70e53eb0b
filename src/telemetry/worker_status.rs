//! How this process does: whether it is ending, and what each worker's loop is at.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Kept by the workers' loops and the shutdown, read by readiness.
#[derive(Debug, Default)]
pub struct ProcessStatus {
    ending: AtomicBool,
    heartbeats: Mutex<BTreeMap<&'static str, Arc<Heartbeat>>>,
}

/// What one worker's loop is at.
#[derive(Debug)]
pub struct Heartbeat {
    /// How long a step may take before the loop counts as stalled.
    stall_after: Duration,
    restarts: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    /// Since when it is at a step; `None` while it rests.
    busy: Option<Instant>,
    /// What its last step failed of.
    error: Option<String>,
    /// How long its last step took.
    took: Duration,
}

/// A worker's loop as readiness tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The worker.
    pub name: &'static str,
    /// How long it has been at one step, if that is longer than it may take.
    pub stalled: Option<Duration>,
    /// What its last step failed of; it pauses, and tries again.
    pub error: Option<String>,
    /// How long its last step took.
    pub latency: Duration,
    /// How often the loop died and was started again.
    pub restarts: u64,
}

impl ProcessStatus {
    /// The process is to end: it should get no more requests.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// The pulse of a worker, the same however often its loop is started. A step may take as long as `stall_after`.
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

    /// A worker's step, one that takes longer than others, goes on.
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
    /// A step begins, or goes on.
    pub fn beat(&self) {
        self.now().busy = Some(Instant::now());
    }

    /// A step ended well.
    pub fn succeed(&self) {
        self.end_step(None);
    }

    /// A step ended with an error.
    pub fn fail(&self, error: String) {
        self.end_step(Some(error));
    }

    /// The loop died, and is started again.
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

    /// Nothing is left half done under this lock, so it is as good after a panic as before.
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
