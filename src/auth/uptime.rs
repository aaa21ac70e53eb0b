//! The clock by which the age of what a process knows is measured.

use std::time::Duration;

/// Time since the machine started, including the time for which it was suspended: a process must not trust what it knew
/// before.
#[cfg(target_os = "linux")]
pub fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Time since this function was first called.
#[cfg(not(target_os = "linux"))]
pub fn now() -> Duration {
    use std::{sync::OnceLock, time::Instant};

    static START: OnceLock<Instant> = OnceLock::new();
    // A day more, so that what is older than the first call has a time as well.
    START.get_or_init(Instant::now).elapsed() + Duration::from_secs(86_400)
}
