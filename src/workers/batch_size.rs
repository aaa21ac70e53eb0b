//! Sizes of batches, by what the database can store in time.

use crate::stores::Result;

/// Maximum number of jobs in the next batch. A batch that a slow database cannot store in time would fail again and again. So
/// after a failure the next batch has half as many jobs, and each success doubles the maximum.
#[derive(Debug)]
pub struct BatchSize {
    /// The number.
    pub jobs: usize,
    max: usize,
}

impl BatchSize {
    /// Starts with the highest number.
    pub fn new(max: usize) -> Self {
        Self { jobs: max, max }
    }

    /// Adapts the number to the outcome of a batch that had `jobs` jobs.
    pub fn adapt(&mut self, jobs: usize, outcome: &Result<()>) {
        self.jobs = match outcome {
            Ok(()) => (self.jobs * 2).min(self.max),
            Err(_) => (jobs / 2).max(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Error;

    #[test]
    fn batches_shrink_after_failures_and_grow_after_successes() {
        let failed = || -> Result<()> {
            Err(Error::Unavailable {
                store: "the store",
                detail: "no response".into(),
            })
        };
        let mut size = BatchSize::new(1000);
        size.adapt(300, &failed());
        assert_eq!(size.jobs, 150);
        size.adapt(1, &failed());
        assert_eq!(size.jobs, 1);
        for expected in [2, 4, 8] {
            size.adapt(1, &Ok(()));
            assert_eq!(size.jobs, expected);
        }
        size.adapt(1, &Ok(()));
        (0..10).for_each(|_| size.adapt(1, &Ok(())));
        assert_eq!(size.jobs, 1000);
    }
}
