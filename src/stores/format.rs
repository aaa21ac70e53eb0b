//! Format of the stores on the services: the fence between programs of different versions.
//!
//! A program that does not know what another one stored could lose it: it would drop senders, or show what was deleted.
//! So the database has a number, and so has the epoch in Redis. A program works only on stores of its own format. It reads
//! the number in every script, in every transaction that stores jobs, and once a second. A migration that raises the
//! number therefore stops older programs wherever they are.
//!
//! Programs before format 2 know no such number. The migration to format 2 renames columns, and the epoch in Redis has
//! another type, so that their statements and scripts fail.
//!
//! A file needs no such number: one process serves it, and every program refuses unknown migrations.

use std::{
    cmp::Ordering,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Error, Result};

/// The format that this program reads and writes. It is raised, by a migration as well, with every change that a program
/// of the former format must not work beside.
pub const FORMAT: u64 = 3;

/// Checks the format of a store.
///
/// # Errors
///
/// [`Error::Newer`] for a newer format. An older one is an outage: a migration ends it.
pub fn check(store: &'static str, found: u64) -> Result<()> {
    match found.cmp(&FORMAT) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(newer(store, found)),
        Ordering::Less => Err(Error::Unavailable {
            store,
            detail: format!(
                "it has format {found}, and this program needs format {FORMAT}: run `confab migrate`, or start `confab serve` without --no-migrate"
            ),
        }),
    }
}

/// Makes the error of a store with a newer program's format.
pub fn newer(store: &'static str, found: u64) -> Error {
    let known = FORMAT;
    Error::Newer {
        store,
        found,
        known,
    }
}

/// The format of a store as it was last found.
pub struct FoundFormat {
    store: &'static str,
    found: AtomicU64,
}

impl FoundFormat {
    /// The format of a store that was not looked at yet.
    pub fn new(store: &'static str) -> Self {
        let found = AtomicU64::new(0);
        Self { store, found }
    }

    /// Checks a format that was read from the store, and keeps it.
    ///
    /// # Errors
    ///
    /// The format is not this program's.
    pub fn check(&self, found: u64) -> Result<()> {
        self.found.store(found, Relaxed);
        check(self.store, found)
    }

    /// Fails if the store was last found in a newer format.
    pub fn refuse_newer(&self) -> Result<()> {
        match self.found.load(Relaxed) {
            0..=FORMAT => Ok(()),
            found => Err(newer(self.store, found)),
        }
    }
}
