//! Everything that tells an operator how this process does: log, metrics, access log and the status of the workers.

pub mod access_log;
pub mod logging;
pub mod metrics;
pub mod worker_status;
pub mod write_counters;
