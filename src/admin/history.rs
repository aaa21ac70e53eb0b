//! What the charts are drawn of: how deep the queue was and what this process had done, every few seconds, for some
//! minutes. It is kept in the process, and begins anew with it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::AdminState;
use crate::{maintenance::KindStats, telemetry::write_counters::WriteCounts};

/// How often is looked.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// How many looks are kept: ten minutes.
pub const CAPACITY: usize = 300;

/// One look.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// Accepted and not stored yet, without the dead letters; `None` when the queue did not answer.
    depth: Option<u64>,
    totals: WriteCounts,
}

/// The latest looks, the oldest first.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Sample>>);

/// What happened between one look and the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Writes accepted a second.
    pub accepted: f64,
    /// Jobs stored a second.
    pub stored: f64,
    /// How many were queued at its end, if that is known.
    pub depth: Option<u64>,
}

impl History {
    /// Looks until the process ends.
    pub async fn keep(state: &AdminState) {
        let mut samples = interval(SAMPLE_INTERVAL);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while state
            .stop
            .run_until_cancelled(samples.tick())
            .await
            .is_some()
        {
            let stats = state.maintenance.job_stats().await;
            state.history.add(Sample {
                at: Instant::now(),
                depth: stats.ok().map(|stats| stats.iter().map(queued).sum()),
                totals: state.counters.totals(),
            });
        }
    }

    fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() > CAPACITY {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// What happened from look to look, the oldest first: those of the last ten minutes.
    pub fn intervals(&self) -> Vec<Interval> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = samples.iter().zip(samples.iter().skip(1));
        pairs.map(|(from, to)| between(from, to)).collect()
    }
}

fn between(from: &Sample, to: &Sample) -> Interval {
    let seconds = (to.at - from.at).as_secs_f64().max(0.001);
    #[allow(clippy::cast_precision_loss, reason = "a rate for a chart")]
    let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
    Interval {
        accepted: rate(from.totals.accepted, to.totals.accepted),
        stored: rate(from.totals.stored, to.totals.stored),
        depth: to.depth,
    }
}

/// What is on its way to the database.
pub fn queued(kind: &KindStats) -> u64 {
    kind.waiting + kind.leased + kind.delayed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_the_second_and_the_oldest_looks_are_dropped() {
        let history = History::default();
        let began = Instant::now();
        for sample in 0..1000_u64 {
            history.add(Sample {
                at: began + SAMPLE_INTERVAL * u32::try_from(sample).unwrap(),
                depth: Some(sample),
                totals: WriteCounts {
                    accepted: sample * 10,
                    stored: sample * 4,
                },
            });
        }
        let intervals = history.intervals();
        assert_eq!(intervals.len(), CAPACITY);
        let last = Interval {
            accepted: 5.0,
            stored: 2.0,
            depth: Some(999),
        };
        assert_eq!(intervals.last(), Some(&last));
    }
}
