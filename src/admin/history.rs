//! History for the charts: queue depth and throughput of this process, every 2 seconds for 10 minutes. It is not
//! persistent.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::AdminState;
use crate::{maintenance::KindStats, telemetry::write_counters::WriteCounts};

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// Number of samples that are kept: ten minutes.
pub const CAPACITY: usize = 300;

/// Sample.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// Number of queued jobs, without dead letters; `None` if the queue did not respond.
    depth: Option<u64>,
    totals: WriteCounts,
}

/// Latest samples in ascending time order.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Sample>>);

/// Change between two consecutive samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Accepted writes per second.
    pub accepted: f64,
    /// Stored jobs per second.
    pub stored: f64,
    /// Number of queued jobs at its end, if known.
    pub depth: Option<u64>,
}

impl History {
    /// Takes samples until the process ends.
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

    /// Changes between the samples of the last ten minutes, in ascending time order.
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

/// Number of jobs that are not stored yet, without the dead letters.
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
