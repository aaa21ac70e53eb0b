//! The embedded backend: one SQLite file.
//!
//! One thread writes (`writer`); a few connections read concurrently. Rows, jobs, counts and full text change in one
//! transaction, so they are always consistent. One process serves a file; commands run concurrently, each with its own
//! connections.

mod build;
mod claim;
mod connection;
mod counts;
mod diagnose;
mod enqueue;
mod error;
mod fts;
mod index;
mod job_admin;
mod lock;
mod migrate;
mod path;
mod pending;
mod read;
mod reader;
mod readers;
mod rows;
mod schema;
mod settle;
mod store;
mod versions;
mod writer;

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use self::{error::unavailable, lock::try_lock, path::DataFile, readers::Readers, writer::Writer};
pub use self::{lock::FileLock, path::default_file};
use super::{Result, Wakeups, coalescer::Coalescer};
use crate::domain::{Message, MessageKey, time::Clock};

/// Bounds and clock of the queue.
#[derive(Debug, Clone, Copy)]
struct QueueSettings {
    /// Writes that may be waiting, leased and delayed.
    queue_depth: usize,
    /// Dead letters that may be kept.
    dead_letters: usize,
    /// Clock of leases, retries and dates.
    clock: Clock,
}

/// Location of the file, and bounds and clock of the queue in it.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The file; its folder is created with it.
    pub file: PathBuf,
    /// Time limit of a call.
    pub timeout: Duration,
    /// Writes that may be waiting, leased and delayed.
    pub queue_depth: usize,
    /// Dead letters that may be kept.
    pub dead_letters: usize,
    /// Clock of leases, retries and dates.
    pub clock: Clock,
}

/// Rows, queue and search index in one file.
pub struct Embedded {
    /// Notifications that end the waits of this process's workers.
    pub wakeups: Wakeups,
    file: DataFile,
    writer: Writer,
    readers: Readers,
    messages: Coalescer<MessageKey, Option<Message>>,
    queue: QueueSettings,
    /// ID of this run of the program, as a claimer of jobs.
    claimer: String,
    /// Lock of the process that serves the file.
    exclusive: OnceLock<FileLock>,
}

impl Embedded {
    /// Prepares the stores; the file is opened when first needed.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(settings: SqliteSettings) -> Result<Self> {
        let file = DataFile {
            path: settings.file,
            timeout: settings.timeout,
        };
        let queue = QueueSettings {
            queue_depth: settings.queue_depth,
            dead_letters: settings.dead_letters,
            clock: settings.clock,
        };
        let readers = Readers::new(&file);
        Ok(Self {
            wakeups: Wakeups::default(),
            writer: Writer::start(&file, queue)?,
            messages: reader::messages(&readers),
            readers,
            queue,
            claimer: format!("{:032x}", rand::random::<u128>()),
            exclusive: OnceLock::new(),
            file,
        })
    }

    /// Makes this process the one that serves the file, until it ends. Jobs of earlier processes are recovered then.
    ///
    /// # Errors
    ///
    /// Another process serves it, or its folder is not writable.
    pub fn serve_exclusively(&self) -> Result<()> {
        self.file.create_folder()?;
        match try_lock(&self.file, "serve")? {
            Some(lock) => {
                // If it was held before, it still is.
                let _ = self.exclusive.set(lock);
                Ok(())
            }
            None => Err(unavailable(format!(
                "another confab serves {} already: stop it, or set embedded.path to another file",
                self.file
            ))),
        }
    }

    /// The path of the file, as it is shown.
    pub fn path(&self) -> String {
        self.file.to_string()
    }
}
