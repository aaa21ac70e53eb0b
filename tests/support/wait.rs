//! Waiting for conditions, and concurrent tasks.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

/// Timeout of a condition. Much longer than it needs, so that a slow machine does not fail.
pub const TIMEOUT: Duration = Duration::from_secs(180);

/// The interval between polls.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Polls until the result is `Ok`; fails after [`TIMEOUT`] with the last error.
pub async fn eventually<T, E: Debug>(what: &str, mut poll: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match poll().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not within {TIMEOUT:?}; last result: {seen:?}")
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Polls until the result is `expected`.
pub async fn eventually_eq<T: PartialEq + Debug>(
    what: &str,
    expected: T,
    mut poll: impl AsyncFnMut() -> T,
) {
    eventually(what, async || {
        let seen = poll().await;
        if seen == expected { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Runs `count` tasks concurrently and returns their results in the order of completion.
pub async fn concurrently<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: JoinSet<T> = (0..count).map(task).collect();
    tasks.join_all().await
}
