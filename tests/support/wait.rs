//! Waiting for conditions, and doing things at the same time.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

/// How long a condition may take to come true. Far more than it needs: a slow machine is no reason to fail.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(25);

/// Waits until `look` gives `Ok`; after [`PATIENCE`] fails with what it gave last.
pub async fn eventually<T, E: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not within {PATIENCE:?}; the last that was seen: {seen:?}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Waits until `look` gives `expected`.
pub async fn settles<T: PartialEq + Debug>(
    what: &str,
    expected: T,
    mut look: impl AsyncFnMut() -> T,
) {
    eventually(what, async || {
        let seen = look().await;
        if seen == expected { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Runs `count` tasks at the same time and gives their results, in the order in which they ended.
pub async fn together<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: JoinSet<T> = (0..count).map(task).collect();
    tasks.join_all().await
}
