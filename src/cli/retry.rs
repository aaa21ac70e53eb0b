//! Retries of a command while a store is unavailable.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::progress::Meter;
use crate::{
    domain::Error as DomainError,
    maintenance::{JobError, StoreError},
};

/// Time limits for retries of a command and of one that reports progress, and the pause between two attempts.
const RETRY_LIMIT: Duration = Duration::from_secs(10);
const STALL_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// Error that may be a temporary outage.
pub trait MaybeOutage {
    /// Tells whether the store is unavailable for now.
    fn is_outage(&self) -> bool;
}

impl MaybeOutage for StoreError {
    fn is_outage(&self) -> bool {
        self.is_outage()
    }
}

impl MaybeOutage for DomainError {
    fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl MaybeOutage for JobError {
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_outage())
    }
}

/// Retries a call for up to 10 s while a store is unavailable, so that a command can run while stores start.
pub async fn retry<T, E: MaybeOutage, F>(call: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let begun = Instant::now();
    while_outage(call, || begun.elapsed() < RETRY_LIMIT).await
}

/// Retries a write as [`retry`] does. Returns true as well if an earlier attempt met an outage, so it may have taken effect.
pub async fn retry_write<T, E: MaybeOutage, F>(call: impl Fn() -> F) -> (Result<T, E>, bool)
where
    F: Future<Output = Result<T, E>>,
{
    let attempts = Cell::new(0);
    let outcome = retry(|| {
        attempts.set(attempts.get() + 1);
        call()
    });
    (outcome.await, attempts.get() > 1)
}

/// Retries a long call. The time limit counts from its last progress, so that a store that restarts does not end it.
pub async fn retry_long<T, E: MaybeOutage, F>(meter: &Meter, call: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    while_outage(call, || meter.last_progress().elapsed() < STALL_LIMIT).await
}

async fn while_outage<T, E: MaybeOutage, F>(
    call: impl Fn() -> F,
    may_retry: impl Fn() -> bool,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    loop {
        match call().await {
            Err(error) if error.is_outage() && may_retry() => {
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn write_is_uncertain_after_an_outage_only() {
        let outage = || DomainError::Unavailable {
            store: "MySQL",
            detail: String::new(),
        };
        for outages in [0, 1] {
            let calls = Cell::new(0);
            let outcome = retry_write(|| {
                calls.set(calls.get() + 1);
                let is_outage = calls.get() <= outages;
                async move {
                    match is_outage {
                        true => Err::<(), _>(outage()),
                        false => Err(DomainError::KeyNotFound),
                    }
                }
            });
            let (outcome, is_uncertain) = outcome.await;
            assert!(matches!(outcome, Err(DomainError::KeyNotFound)));
            assert_eq!(is_uncertain, outages > 0);
        }
    }
}
