//! Requests that wait for changes, bounded for the process.

use std::{sync::Arc, time::Duration};

use actix_web::HttpRequest;
use metrics::Gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

use super::{error::HttpError, middleware::access};
use crate::{config::Limits, service::Follower, telemetry::metrics::waiting_requests};

/// Interval of the checks whether the credential of a waiting request is still valid.
const CHECK: Duration = Duration::from_secs(1);

/// Pause after a change that was not wanted. A busy application would otherwise be read for each of its writes.
const PAUSE: Duration = Duration::from_millis(100);

/// Waiting requests, and how many more there may be.
pub struct WaitingRequests {
    permits: Arc<Semaphore>,
    count: Gauge,
}

impl WaitingRequests {
    /// None yet, and up to `limits.waiting_requests`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.waiting_requests)),
            count: waiting_requests(),
        }
    }

    /// Begins the wait of a request.
    pub fn wait(&self, follower: Follower, time: Duration) -> Wait {
        Wait {
            follower,
            end: Instant::now() + time,
            woken: false,
            permits: self.permits.clone(),
            count: self.count.clone(),
            waiting: None,
        }
    }
}

/// Wait of a request for changes.
pub struct Wait {
    follower: Follower,
    end: Instant,
    /// A change ended the last wait.
    woken: bool,
    permits: Arc<Semaphore>,
    count: Gauge,
    /// Held from the first wait on.
    waiting: Option<Waiting>,
}

/// A request that counts as waiting.
struct Waiting {
    count: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.decrement(1.0);
    }
}

impl Wait {
    /// Checks whether the request may go on to read, after a read that returned nothing before the end.
    ///
    /// # Errors
    ///
    /// The error of the credential, once it is not valid any more.
    pub async fn goes_on(&self, request: &HttpRequest) -> Result<bool, HttpError> {
        access::check_again(request.clone()).await?;
        Ok(Instant::now() < self.end && !self.follower.has_ended())
    }

    /// Waits for the next change. Returns false if there was none in time, or if the process shuts down.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyWaiting`] at the limit; the error of the credential, once it is not valid any more.
    pub async fn changed(&mut self, request: &HttpRequest) -> Result<bool, HttpError> {
        if self.waiting.is_none() {
            let permit = self.permits.clone().try_acquire_owned();
            let permit = permit.map_err(|_| HttpError::TooManyWaiting)?;
            self.count.increment(1.0);
            self.waiting = Some(Waiting {
                count: self.count.clone(),
                _permit: permit,
            });
        }
        if self.woken {
            sleep(PAUSE).await;
        }
        loop {
            let check = self.end.min(Instant::now() + CHECK);
            let changed = tokio::select! {
                biased;
                () = sleep_until(self.end) => false,
                changed = self.follower.changed() => changed,
                () = sleep_until(check) => {
                    access::check_again(request.clone()).await?;
                    continue;
                }
            };
            access::check_again(request.clone()).await?;
            self.woken = changed;
            return Ok(changed);
        }
    }
}
