//! The traits behind which everything is kept, and what each promises.
//!
//! Two backings stand behind them. On the *services* backing [`Records`] is MySQL, [`JobQueue`] is Redis and
//! [`SearchIndex`] is Elasticsearch; on the *embedded* one a single SQLite file is all three. Stores never know each
//! other; `app` picks and wires them.

mod breaker;
pub mod check;
pub mod elasticsearch;
mod error;
mod gather;
mod jobs;
pub mod measured;
pub mod mysql;
mod payload;
mod queue;
mod records;
mod recount;
pub mod redis;
mod search_index;
pub mod sqlite;
pub mod wakeup;

pub use self::{
    check::Check,
    error::{Error, Result},
    jobs::{JobInfo, JobState},
    queue::{Acceptance, Batch, ClaimLimits, JobQueue, KindStats, Known, Lease, Recovered},
    records::{Build, Checked, Guard, IndexLag, Ledger, Outbox, Records, Totals, WrongCount},
    search_index::SearchIndex,
};
