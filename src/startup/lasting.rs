//! Tasks that must run as long as the process.

use std::{fmt::Display, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Tasks whose end, also by a panic, must end the process: without them it would run on and do nothing.
pub struct Lasting {
    /// Cancelled when the process is to end. From then on the tasks may end.
    stop: CancellationToken,
    ended: watch::Sender<Option<&'static str>>,
}

impl Lasting {
    /// Creates an empty set.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            ended: watch::Sender::new(None),
        }
    }

    /// Starts a task.
    pub fn spawn<E: Display + Send + 'static>(
        &self,
        part: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> JoinHandle<()> {
        let (stop, ended) = (self.stop.clone(), self.ended.clone());
        tokio::spawn(async move {
            // Nothing of the task is used after a panic.
            let error = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => "no error".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "panic".to_owned(),
            };
            if !stop.is_cancelled() {
                error!(part, error, "A part of the process ended");
                ended.send_replace(Some(part));
            }
        })
    }

    /// Waits until a task has ended before the process was to end, and returns its part.
    pub async fn ended(&self) -> &'static str {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(part) => part.unwrap_or_default(),
            // Not possible: `self` holds the sender.
            Err(_) => std::future::pending().await,
        }
    }
}
