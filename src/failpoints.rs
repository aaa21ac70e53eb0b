//! Named steps at which a test makes this program fail, to show that nothing is lost by it; and a clock that a test moves.
//!
//! Only builds with the feature `breakpoints` have them: the tests' build, never a release.
//! `CONFAB_TEST_BREAK=before_commit:3:crash` makes the process abort when it reaches `before_commit` for the third
//! time. Other actions are `panic` and, where a worker [`reach`]es the step, `error` (the step fails as if a store were
//! unreachable) or `stall` (the step never ends).
//!
//! `CONFAB_TEST_CLOCK_OFFSET_MS=60000` moves the clock of leases, retries and dates forward by a minute.
//!
//! | step | where |
//! |---|---|
//! | `claimed` | a worker has claimed a batch and has not begun to store it |
//! | `before_commit`, `after_commit` | at the very end of a store transaction, and right after it |
//! | `before_acknowledge` | a batch is stored, and the queue does not know it |
//! | `between_batches` | a batch is settled, and the next one not begun |
//! | `before_outbox_delete` | the index holds the changes, and the outbox row still exists |
//! | `epoch_raised`, `epoch_set` | a new epoch is in MySQL, and then in Redis, where no script of it is loaded yet |
//! | `server_thread`, `admin_thread` | a thread of the API's or of the admin listener's server starts |
//! | `migrated` | the schema is up to date, and the workers are not started |
//! | `between_rebuild_pages` | a rebuild has put a page, and kept how far it has come |
//! | `before_erasure_commit` | documents of erased messages are empty, and their rows are removed in a transaction that ends now |
//! | `before_expired_rows_are_removed` | documents of messages that retention deleted are empty, and their rows still exist |
//! | `between_erase_steps` | a step of an erasure is done, and the next one not begun |

#[cfg(not(feature = "breakpoints"))]
mod armed {
    use crate::domain::time::Clock;

    /// Does nothing.
    pub fn hit(_step: &str) {}

    /// Does nothing: the step continues.
    pub async fn reach(_step: &str) -> bool {
        false
    }

    /// Returns the clock without an offset.
    pub fn clock() -> Clock {
        Clock::default()
    }
}

#[cfg(feature = "breakpoints")]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    };

    use crate::domain::time::Clock;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Action {
        Crash,
        Panic,
        Error,
        Stall,
    }

    struct Plan {
        step: String,
        action: Action,
        /// Remaining number of passes, including the one that fails.
        left: AtomicUsize,
    }

    /// A plan that cannot be read would make a test that cannot fail.
    fn plan() -> Option<&'static Plan> {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        let read = || {
            let text = std::env::var("CONFAB_TEST_BREAK").ok()?;
            let mut parts = text.split(':');
            let (step, times, action) = (parts.next()?, parts.next()?, parts.next()?);
            let action = match action {
                "crash" => Action::Crash,
                "panic" => Action::Panic,
                "error" => Action::Error,
                "stall" => Action::Stall,
                _ => panic!("CONFAB_TEST_BREAK={text}: no such action"),
            };
            let Ok(times) = times.parse() else {
                panic!("CONFAB_TEST_BREAK={text}: the second part is no number");
            };
            Some(Plan {
                step: step.to_owned(),
                action,
                left: AtomicUsize::new(times),
            })
        };
        PLAN.get_or_init(read).as_ref()
    }

    fn due(step: &str) -> Option<Action> {
        let plan = plan().filter(|plan| plan.step == step)?;
        let passed = plan
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        let action = (passed == Ok(1)).then_some(plan.action)?;
        eprintln!("planned failure: {step}: {action:?}");
        match action {
            Action::Crash => std::process::abort(),
            Action::Panic => panic!("planned, at {step}"),
            Action::Error | Action::Stall => Some(action),
        }
    }

    /// Returns the clock moved by `CONFAB_TEST_CLOCK_OFFSET_MS` milliseconds.
    pub fn clock() -> Clock {
        let offset = std::env::var("CONFAB_TEST_CLOCK_OFFSET_MS").unwrap_or_else(|_| "0".into());
        match offset.parse() {
            Ok(offset) => Clock { offset },
            Err(error) => panic!("CONFAB_TEST_CLOCK_OFFSET_MS={offset}: {error}"),
        }
    }

    /// Passes a step at which the process can die or the task panic.
    pub fn hit(step: &str) {
        if let Some(action) = due(step) {
            panic!("{action:?} cannot be planned at {step}");
        }
    }

    /// Passes a step at which a worker can fail in every way. Returns true if it must fail.
    pub async fn reach(step: &str) -> bool {
        match due(step) {
            Some(Action::Stall) => std::future::pending().await,
            action => action.is_some(),
        }
    }
}

pub use armed::{clock, hit, reach};
