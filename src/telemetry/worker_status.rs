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
pub struct Health {
    ending: AtomicBool,
    pulses: Mutex<BTreeMap<&'static str, Arc<Pulse>>>,
}

/// What one worker's loop is at.
#[derive(Debug)]
pub struct Pulse {
    /// How long a step may take before the loop counts as stalled.
    patience: Duration,
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
pub struct Condition {
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

impl Health {
    /// The process is to end: it should get no more requests.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// The pulse of a worker, the same however often its loop is started. A step may take as long as `patience`.
    pub fn pulse(&self, name: &'static str, patience: Duration) -> Arc<Pulse> {
        let mut pulses = self.pulses();
        let pulse = pulses.entry(name).or_insert_with(|| {
            Arc::new(Pulse {
                patience,
                restarts: AtomicU64::new(0),
                now: Mutex::default(),
            })
        });
        pulse.clone()
    }

    /// A worker's step, one that takes longer than others, goes on.
    pub fn beat(&self, name: &'static str) {
        let pulses = self.pulses();
        if let Some(pulse) = pulses.get(name) {
            pulse.beat();
        }
    }

    /// Every worker's loop that this process runs, by name.
    pub fn workers(&self) -> Vec<Condition> {
        let pulses = self.pulses();
        let conditions = pulses.iter().map(|(name, pulse)| pulse.condition(name));
        conditions.collect()
    }

    fn pulses(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<Pulse>>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// A step begins, or goes on.
    pub fn beat(&self) {
        self.now().busy = Some(Instant::now());
    }

    /// A step ended well.
    pub fn rest(&self) {
        self.end_step(None);
    }

    /// A step ended with an error.
    pub fn fail(&self, error: String) {
        self.end_step(Some(error));
    }

    /// The loop died, and is started again.
    pub fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.rest();
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

    fn condition(&self, name: &'static str) -> Condition {
        let now = self.now();
        let busy = now.busy.map(|since| since.elapsed());
        Condition {
            name,
            stalled: busy.filter(|busy| *busy > self.patience),
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
        let health = Health::default();
        let pulse = health.pulse("slow", Duration::ZERO);
        let stalled = || health.workers()[0].stalled.is_some();
        assert!(!stalled());
        pulse.beat();
        std::thread::sleep(Duration::from_millis(1));
        assert!(stalled());
        pulse.rest();
        assert!(!stalled());
    }

    #[test]
    fn a_worker_that_is_started_again_keeps_its_count() {
        let health = Health::default();
        health.pulse("frail", Duration::MAX).restart();
        health.pulse("frail", Duration::MAX).restart();
        assert_eq!(health.workers()[0].restarts, 2);
    }
}
