//! Looking at everything that can be wrong with an installation.

use std::{ops::RangeInclusive, time::Duration};

use super::Maintenance;
use crate::stores::{Backend, Build, Check, Result, Severity};

/// Time limit of a check that concerns several stores: rows are counted one by one.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Number of attempts to count rows and documents while they differ because of concurrent writes, and the time between
/// two attempts: a new document becomes visible within a second.
const ROUNDS: usize = 3;
const ROUND_INTERVAL: Duration = Duration::from_millis(1100);

/// Age in milliseconds above which the oldest waiting job is a warning.
const MAX_WAIT_MS: u64 = 60_000;

impl Maintenance {
    /// Examines each store, and what they should agree on. Nothing is changed, but that a Redis without its scripts gets
    /// them with a new epoch, as from any caller. An unreachable store is a problem, and the others are examined all the
    /// same. `batch_bytes` is the size of a batch.
    pub async fn doctor(&self, batch_bytes: usize) -> Vec<Check> {
        let mut checks = self.backend.diagnose(batch_bytes).await;
        let reported = checks
            .iter()
            .any(|check| check.severity == Severity::Problem);
        let results = tokio::join!(
            run_check("rows and documents", reported, self.check_documents()),
            run_check("outbox", reported, self.check_outbox()),
            run_check("search index build", reported, self.check_build()),
            run_check("waiting jobs", reported, self.check_waiting()),
            run_check("dead letters", reported, self.check_dead_letters()),
        );
        let results = [results.0, results.1, results.2, results.3, results.4];
        checks.extend(results.into_iter().flatten());
        checks
    }

    async fn check_documents(&self) -> Result<Check> {
        let name = "rows and documents";
        let (mut rows, mut documents) = (0, 0);
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(ROUND_INTERVAL).await;
            }
            rows = self.backend.totals().await?.messages;
            documents = self.backend.count_documents().await?;
            if rows == documents {
                return Ok(Check::ok(name, format!("{rows} each")));
            }
        }
        Ok(Check::warning(
            name,
            format!("{rows} rows and {documents} documents"),
            "`confab search verify` lists them; the reconciler of a running confab repairs them, and so does `confab search verify --fix`",
        ))
    }

    async fn check_outbox(&self) -> Result<Check> {
        let name = "outbox";
        let mut oldest = None;
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(ROUND_INTERVAL).await;
            }
            let Some(waiting) = self.waiting_changes().await? else {
                return Ok(Check::ok(name, "the index holds everything"));
            };
            if oldest.is_some_and(|oldest| *waiting.start() > oldest) {
                let waiting = waiting.end() - waiting.start() + 1;
                return Ok(Check::ok(
                    name,
                    format!("up to {waiting} changes wait and are being indexed"),
                ));
            }
            oldest = Some(*waiting.start());
        }
        Ok(Check::warning(
            name,
            "changes wait and are not being indexed",
            "check that a confab with workers is running, and look for index_messages in its log",
        ))
    }

    /// IDs of the changes that the index does not hold yet; the embedded index holds all.
    pub(super) async fn waiting_changes(&self) -> Result<Option<RangeInclusive<u64>>> {
        match &self.backend {
            Backend::Services(services) => services.mysql.outbox_range().await,
            Backend::Embedded(_) => Ok(None),
        }
    }

    async fn check_build(&self) -> Result<Check> {
        let name = "search index build";
        let Some(build) = self.backend.build().await? else {
            return Ok(Check::ok(name, "none in progress"));
        };
        let found = match build {
            Build::Wanted => {
                "a new index is needed, because the database was restored from a backup".to_owned()
            }
            Build::Filling { target, done, .. } => format!("{target} holds {done} messages"),
        };
        if !self.rebuild_is_idle().await? {
            return Ok(Check::ok(name, format!("{found} and is being filled")));
        }
        Ok(Check::warning(
            name,
            format!("{found}; no process is filling it"),
            "a running confab with workers builds it, and so does `confab search rebuild`",
        ))
    }

    async fn check_waiting(&self) -> Result<Check> {
        let name = "waiting jobs";
        let stats = self.job_stats().await?;
        let waiting: u64 = stats.iter().map(|kind| kind.waiting).sum();
        let oldest = stats.iter().map(|kind| kind.oldest_ms).max().unwrap_or(0);
        let found = format!("{waiting}, the oldest for {} s", oldest / 1000);
        Ok(if oldest <= MAX_WAIT_MS {
            Check::ok(name, found)
        } else {
            Check::warning(
                name,
                found,
                "check that a confab with workers is running and reaches its stores; `confab jobs stats` shows the kinds",
            )
        })
    }

    async fn check_dead_letters(&self) -> Result<Check> {
        let name = "dead letters";
        let dead: u64 = self.job_stats().await?.iter().map(|kind| kind.dead).sum();
        Ok(if dead == 0 {
            Check::ok(name, "none")
        } else {
            Check::warning(
                name,
                format!("{dead} accepted writes could not be stored"),
                "`confab jobs list` shows the errors; `confab jobs retry` retries them",
            )
        })
    }
}

/// Runs a check within [`TIME_LIMIT`]. Returns `None` if it failed because of a store that was already reported.
async fn run_check(
    name: &'static str,
    reported: bool,
    check: impl Future<Output = Result<Check>>,
) -> Option<Check> {
    match tokio::time::timeout(TIME_LIMIT, check).await {
        Ok(Err(_)) if reported => None,
        Ok(checked) => Some(Check::or_problem(
            name,
            checked,
            "check that the store is running, and its log",
        )),
        Err(_) => Some(Check::warning(
            name,
            format!("no response within {TIME_LIMIT:?}"),
            "the store is large or busy: run the check again later",
        )),
    }
}
