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

/// Room for waiting requests.
pub struct WaitingRequests {
    room: Arc<Semaphore>,
    count: Gauge,
}

impl WaitingRequests {
    /// Room for `limits.waiting_requests`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            room: Arc::new(Semaphore::new(limits.waiting_requests)),
            count: waiting_requests(),
        }
    }

    /// Begins the wait of a request.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyWaiting`] at the limit.
    pub fn wait(&self, follower: Follower, time: Duration) -> Result<Wait, HttpError> {
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| HttpError::TooManyWaiting)?;
        self.count.increment(1.0);
        Ok(Wait {
            follower,
            end: Instant::now() + time,
            woken: false,
            count: self.count.clone(),
            _room: room,
        })
    }
}

/// Wait of a request for changes.
pub struct Wait {
    follower: Follower,
    end: Instant,
    /// A change ended the last wait.
    woken: bool,
    count: Gauge,
    _room: OwnedSemaphorePermit,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.count.decrement(1.0);
    }
}

impl Wait {
    /// Waits for the next change. Returns false if there was none in time, or if the process shuts down.
    ///
    /// # Errors
    ///
    /// The error of the credential, once it is not valid any more.
    pub async fn changed(&mut self, request: &HttpRequest) -> Result<bool, HttpError> {
        if self.woken {
            sleep(PAUSE).await;
        }
        loop {
            let check = self.end.min(Instant::now() + CHECK);
            let changed = tokio::select! {
                biased;
                changed = self.follower.changed() => Some(changed),
                () = sleep_until(check) => None,
            };
            access::check_again(request.clone()).await?;
            self.woken = changed == Some(true);
            if let Some(changed) = changed {
                return Ok(changed);
            }
            if Instant::now() >= self.end {
                return Ok(false);
            }
        }
    }
}
