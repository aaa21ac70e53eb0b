//! A circuit breaker: spares callers the wait for a store that does not answer.
//!
//! A store that refuses connections fails at once. One that hangs costs each caller its whole time limit. So after a
//! timeout the circuit opens and calls fail at once for 500 ms. Then it is half-open and admits one call at a time,
//! until one succeeds.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Error, Result};

/// Time that the circuit stays open after a timeout.
const OPEN_TIME: Duration = Duration::from_millis(500);

/// Time limit of a ping after a call that was not answered in time.
const PING: Duration = Duration::from_secs(1);

/// The breaker of one store.
#[derive(Debug)]
pub struct CircuitBreaker {
    store: &'static str,
    /// Time limit of a call.
    timeout: Duration,
    /// Until when calls fail at once; `None` if the last one was answered.
    open_until: Mutex<Option<Instant>>,
}

impl CircuitBreaker {
    /// Closed, for a store whose calls may take `timeout`.
    pub fn new(store: &'static str, timeout: Duration) -> Self {
        Self {
            store,
            timeout,
            open_until: Mutex::default(),
        }
    }

    /// Makes a call, unless the store is known not to answer.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there was no answer in time, or there is none to be expected.
    pub async fn call<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        self.call_within(self.timeout, call).await
    }

    /// Makes a call with its own time limit.
    ///
    /// # Errors
    ///
    /// Same as [`Self::call`].
    pub async fn call_within<T>(&self, time: Duration, call: impl Future<Output = T>) -> Result<T> {
        self.admit()?;
        if let Ok(response) = tokio::time::timeout(time, call).await {
            *self.open_until() = None;
            return Ok(response);
        }
        self.trip();
        Err(self.unavailable(format!("no response within {time:?}")))
    }

    /// Makes a call with its own time limit, of a kind that can be slow because of what it asks for. The circuit opens only
    /// if `ping`, which asks for nothing, is not answered within a second either.
    ///
    /// # Errors
    ///
    /// Same as [`Self::call`].
    pub async fn call_or_ping<T>(
        &self,
        time: Duration,
        call: impl Future<Output = T>,
        ping: impl Future<Output = bool>,
    ) -> Result<T> {
        self.admit()?;
        let response = tokio::time::timeout(time, call).await;
        if response.is_ok() || matches!(tokio::time::timeout(PING, ping).await, Ok(true)) {
            *self.open_until() = None;
        } else {
            self.trip();
        }
        response.map_err(|_| self.unavailable(format!("no response within {time:?}")))
    }

    /// Checks that the circuit is not open.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if not.
    pub fn check(&self) -> Result<()> {
        self.refuse_until(*self.open_until())
    }

    /// Admits a call. While the circuit is half-open, admits one call at a time.
    fn admit(&self) -> Result<()> {
        let mut open_until = self.open_until();
        self.refuse_until(*open_until)?;
        if open_until.is_some() {
            *open_until = Some(Instant::now() + self.timeout + OPEN_TIME);
        }
        Ok(())
    }

    fn refuse_until(&self, open_until: Option<Instant>) -> Result<()> {
        match open_until {
            Some(until) if until > Instant::now() => {
                Err(self.unavailable("it did not respond; the next attempt follows shortly".into()))
            }
            _ => Ok(()),
        }
    }

    /// A call was not answered.
    pub fn trip(&self) {
        *self.open_until() = Some(Instant::now() + OPEN_TIME);
    }

    fn unavailable(&self, detail: String) -> Error {
        Error::Unavailable {
            store: self.store,
            detail,
        }
    }

    /// Locks the state. No code panics in an inconsistent state under this lock, so poisoning is ignored.
    fn open_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.open_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn slow_call_opens_the_circuit_only_if_a_ping_fails_too() {
        let time = Duration::from_millis(10);
        let breaker = CircuitBreaker::new("the store", time);
        let slow = |ping| breaker.call_or_ping(time, pending::<()>(), ready(ping));
        assert!(slow(true).await.is_err());
        assert_eq!(breaker.call(ready(1)).await, Ok(1));
        assert!(slow(false).await.is_err());
        assert!(breaker.check().is_err());
        std::thread::sleep(OPEN_TIME);
        // Half-open: a ping alone closes it.
        assert!(slow(true).await.is_err());
        assert_eq!(breaker.check(), Ok(()));
        assert_eq!(breaker.call(ready(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn after_a_silence_one_at_a_time_asks_until_there_is_an_answer() {
        let breaker = CircuitBreaker::new("the store", Duration::from_millis(10));
        assert_eq!(breaker.call(ready(1)).await, Ok(1));
        assert!(breaker.call(pending::<()>()).await.is_err());
        assert!(breaker.call(ready(1)).await.is_err(), "at once");
        assert!(breaker.check().is_err());
        std::thread::sleep(OPEN_TIME);
        let call = async {
            assert!(breaker.call(ready(1)).await.is_err(), "another one asks");
            assert!(breaker.check().is_err());
        };
        // A caller that checks first does not block its own call.
        assert_eq!(breaker.check(), Ok(()));
        assert_eq!(breaker.call(call).await, Ok(()));
        assert_eq!(breaker.check(), Ok(()));
        assert_eq!(breaker.call(ready(1)).await, Ok(1));
    }
}
