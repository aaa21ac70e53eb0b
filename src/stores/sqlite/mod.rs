//! [`Records`](super::Records), [`JobQueue`](super::JobQueue) and [`SearchIndex`](super::SearchIndex) on one SQLite
//! file.
//!
//! One thread writes (`writer`), a few connections read beside it. Rows, jobs, counts and full text change together, in
//! one transaction each, so that none is ever behind the other. One process serves a file; commands work beside it,
//! each on connections of its own.

mod accept;
mod admin;
mod build;
mod claim;
mod connection;
mod counts;
mod error;
mod examine;
mod index;
mod lock;
mod migrate;
mod pending;
pub mod place;
mod queue;
mod read;
mod readers;
mod records;
mod rows;
mod schema;
mod settle;
mod store;
mod words;
mod writer;

use std::{path::PathBuf, sync::Arc, time::Duration};

use diesel::{QueryDsl as _, RunQueryDsl as _, SqliteConnection};

use self::{
    accept::Limits,
    connection::Place,
    error::{Outcome, unavailable},
    lock::try_lock,
    readers::Readers,
    schema::state,
    writer::Writer,
};
use super::{Result, gather::Gather};
use crate::domain::{Message, MessageKey};

/// Messages that one visit of a reader reads for several requests, at most.
const GROUP: usize = 64;

/// Where the file is, and what bounds the queue in it.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The file; its folder is made with it.
    pub file: PathBuf,
    /// How long a call may take.
    pub timeout: Duration,
    /// Writes that may be waiting, leased and delayed.
    pub queue_depth: usize,
    /// Dead letters that may be kept.
    pub dead_letters: usize,
}

/// All three stores, in one file.
pub struct SqliteStores {
    place: Place,
    writer: Writer,
    readers: Readers,
    /// Messages, stored or not, for several requests at once.
    messages: Gather<MessageKey, Option<Message>>,
    limits: Limits,
    /// This run of the program, among those that claim jobs.
    claimer: String,
}

impl SqliteStores {
    /// Prepares the stores; the file is opened when first needed.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(settings: SqliteSettings) -> Result<Self> {
        let place = Place {
            file: settings.file,
            timeout: settings.timeout,
            sole: Arc::default(),
        };
        let limits = Limits {
            queue_depth: settings.queue_depth,
            dead_letters: settings.dead_letters,
        };
        let readers = Readers::new(&place);
        Ok(Self {
            writer: Writer::start(&place, limits)?,
            messages: messages(&readers),
            readers,
            limits,
            claimer: format!("{:032x}", rand::random::<u128>()),
            place,
        })
    }

    /// Makes this process the one that serves the file, until it ends. What others have claimed is taken back then:
    /// they are dead.
    ///
    /// # Errors
    ///
    /// Another process serves it, or its folder is not to be written into.
    pub fn serve_alone(&self) -> Result<()> {
        self.place.make_folder()?;
        match try_lock(&self.place, "serve")? {
            Some(lock) => {
                // If it was held before, it still is.
                let _ = self.place.sole.set(lock);
                Ok(())
            }
            None => Err(unavailable(format!(
                "another confab serves {} already: stop it, or name another file by embedded.path",
                self.place.name()
            ))),
        }
    }

    /// Reads a row that is always there.
    async fn look(&self) -> Result<()> {
        let read = |connection: &mut SqliteConnection| {
            let _: i64 = state::table.select(state::revision).first(connection)?;
            Ok(())
        };
        self.readers.run(read).await
    }

    /// The file, as it is shown.
    pub fn file(&self) -> String {
        self.place.name()
    }
}

/// Reads one message after another on one visit.
fn messages(readers: &Readers) -> Gather<MessageKey, Option<Message>> {
    let readers = readers.clone();
    Gather::new("SQLite", GROUP, readers::CONNECTIONS, move |keys| {
        let readers = readers.clone();
        async move {
            let read = move |connection: &mut SqliteConnection| {
                let found = keys.into_iter().map(|key| newest(connection, key));
                found.collect::<Outcome<Vec<_>>>()
            };
            Ok(readers.run(read).await?.into_iter().map(Ok).collect())
        }
    })
}

/// A message as its newest write left it.
fn newest(connection: &mut SqliteConnection, key: MessageKey) -> Outcome<Option<Message>> {
    let pending = pending::message(connection, key)?;
    let stored = read::message(connection, key)?;
    Ok(match (pending, stored) {
        (Some(pending), Some(stored)) => Some(pending.merge(stored)),
        (pending, stored) => pending.or(stored),
    })
}
