//! Observability: log, metrics, access log and worker status.

pub mod access_log;
pub mod logging;
pub mod metrics;
pub mod worker_status;
pub mod write_counters;
