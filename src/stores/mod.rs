//! Storage: the two backends, and the operations that both have.
//!
//! [`Backend::Services`] is MySQL (rows), Redis (queue) and Elasticsearch (search); [`Backend::Embedded`] is one SQLite
//! file for all three. Each operation is a method of [`Backend`] that calls the one or the other; the methods are
//! grouped by role, one file a role. Operations that only the services need are methods of [`Services`].

/// Calls an operation of the backend: on the embedded one the method of the same name, on the services the one named.
/// Boxed, so that the futures of both are no part of every caller's.
macro_rules! dispatch {
    ($backend:ident.$method:ident($($argument:ident),*), services: $($path:ident).+) => {
        match $backend {
            Self::Services(services) => {
                ::futures_util::FutureExt::boxed(services.$($path).+($($argument),*)).await
            }
            Self::Embedded(embedded) => {
                ::futures_util::FutureExt::boxed(embedded.$method($($argument),*)).await
            }
        }
    };
}

mod audit;
mod call;
mod changes;
mod check;
mod circuit_breaker;
mod coalescer;
mod credentials;
mod enqueue;
mod erasure;
mod error;
mod followers;
mod format;
mod health;
mod index_build;
mod job_admin;
mod jobs;
mod merge;
mod payload;
mod reader;
mod recount;
mod retention;
pub mod services;
pub mod sqlite;
mod wakeup;

use std::sync::Arc;

pub use self::{
    audit::{RowCounts, ScanPage, WrongCount},
    check::{Check, Severity},
    credentials::{
        CredentialChanges, KeyCreation, KeyLimits, KeyPage, PRUNED, RELOAD_TIME_LIMIT, StoredKey,
        UserRevocation,
    },
    enqueue::Enqueued,
    erasure::Erasure,
    error::{Error, Result},
    followers::{Follower, Followers},
    health::{LockGuard, Probe},
    index_build::{Build, IndexState},
    job_admin::{JobInfo, JobState, KindStats},
    jobs::{Batch, ClaimLimits, Lease, Recovered},
    reader::Read,
    retention::Expired,
    services::Services,
    sqlite::Embedded,
    wakeup::Wakeups,
};

/// The stores of one installation. Cheap to clone.
#[derive(Clone)]
pub enum Backend {
    /// MySQL, Redis and Elasticsearch, shared by any number of processes.
    Services(Arc<Services>),
    /// One SQLite file, served by one process.
    Embedded(Arc<Embedded>),
}

impl Backend {
    /// Notifications that end the waits of this process's workers.
    pub fn wakeups(&self) -> &Wakeups {
        match self {
            Self::Services(services) => &services.wakeups,
            Self::Embedded(embedded) => &embedded.wakeups,
        }
    }
}
