//! Metrics of store calls.

use std::{sync::OnceLock, time::Instant};

use ::metrics::{Counter, Histogram};

use super::{Error, Result};
use crate::telemetry::metrics;

/// Kind of store call, by the labels of its metrics. A call costs two reads of the clock and one histogram entry.
pub struct Call {
    store: &'static str,
    name: &'static str,
    /// Metric handles, looked up at the first call.
    handles: OnceLock<(Histogram, Counter)>,
}

/// The call `name` of the store `queue`, `records` or `search`.
macro_rules! call {
    ($store:literal, $name:literal) => {{
        static CALL: $crate::stores::call::Call = $crate::stores::call::Call::new($store, $name);
        &CALL
    }};
}
pub(super) use call;

impl Call {
    /// See [`call!`].
    pub const fn new(store: &'static str, name: &'static str) -> Self {
        Self {
            store,
            name,
            handles: OnceLock::new(),
        }
    }

    /// Makes a call and records it.
    pub async fn timed<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let outcome = call.await;
        self.record(began, &outcome);
        outcome
    }

    /// Records the duration of a call that began at `began`, and whether it failed by the store's fault.
    pub fn record<T>(&self, began: Instant, outcome: &Result<T>) {
        let (duration, errors) = self.handles.get_or_init(|| {
            (
                metrics::store_call(self.store, self.name),
                metrics::store_errors(self.store),
            )
        });
        duration.record(began.elapsed());
        if let Err(Error::Unavailable { .. } | Error::Newer { .. } | Error::Failed { .. }) = outcome
        {
            errors.increment(1);
        }
    }
}
