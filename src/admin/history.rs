//! What the charts are drawn of: how deep the queue was and what this process had done, every few seconds, for some
//! minutes. It is kept in the process, and begins anew with it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::AdminState;
use crate::{maintenance::KindStats, telemetry::activity::Totals};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(2);

/// How many looks are kept: ten minutes.
pub const KEPT: usize = 300;

/// One look.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// Accepted and not stored yet, without the dead letters; `None` when the queue did not answer.
    depth: Option<u64>,
    totals: Totals,
}

/// The latest looks, the oldest first.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Look>>);

/// What happened between one look and the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
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
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while state.stop.run_until_cancelled(looks.tick()).await.is_some() {
            let stats = state.maintenance.job_stats().await;
            state.history.add(Look {
                at: Instant::now(),
                depth: stats.ok().map(|stats| stats.iter().map(queued).sum()),
                totals: state.activity.totals(),
            });
        }
    }

    fn add(&self, look: Look) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() > KEPT {
            looks.pop_front();
        }
        looks.push_back(look);
    }

    /// What happened from look to look, the oldest first: those of the last ten minutes.
    pub fn stretches(&self) -> Vec<Stretch> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = looks.iter().zip(looks.iter().skip(1));
        pairs.map(|(from, to)| stretch(from, to)).collect()
    }
}

fn stretch(from: &Look, to: &Look) -> Stretch {
    let seconds = (to.at - from.at).as_secs_f64().max(0.001);
    #[allow(clippy::cast_precision_loss, reason = "a rate for a chart")]
    let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
    Stretch {
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
        for look in 0..1000_u64 {
            history.add(Look {
                at: began + EVERY * u32::try_from(look).unwrap(),
                depth: Some(look),
                totals: Totals {
                    accepted: look * 10,
                    stored: look * 4,
                },
            });
        }
        let stretches = history.stretches();
        assert_eq!(stretches.len(), KEPT);
        let last = Stretch {
            accepted: 5.0,
            stored: 2.0,
            depth: Some(999),
        };
        assert_eq!(stretches.last(), Some(&last));
    }
}
