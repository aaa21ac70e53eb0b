//! The embedded backend: one SQLite file.
//!
//! One thread writes (`writer`); a few connections read concurrently. Rows, jobs, counts and full text change in one
//! transaction, so they are always consistent. One process serves a file; commands run concurrently, each with its own
//! connections.

mod access_keys;
mod applications;
mod build;
mod change_number;
mod changes;
mod claim;
mod compact;
mod connection;
mod counts;
mod credentials;
mod deletion;
mod diagnose;
mod enqueue;
mod erase;
mod erase_sender;
mod erasures;
mod error;
mod fts;
mod fts_erase;
mod history;
mod idempotency;
mod identity;
mod index;
mod interrupt;
mod job_admin;
mod lock;
mod migrate;
mod new_job;
mod numbers;
mod parents;
mod path;
mod pending;
mod permissions;
mod probe;
mod read;
mod reader;
mod readers;
mod retention;
mod rows;
mod schema;
mod scrub;
mod settle;
mod store;
mod store_messages;
mod versions;
mod watch;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use self::{lock::FileLock, path::default_file};
use self::{
    lock::{lock_data_file, served, try_lock_serving},
    path::DataFile,
    permissions::restrict,
    readers::{Purpose, Readers},
    watch::Watch,
    writer::Writer,
};
use super::{Followers, Result, Wakeups, coalescer::Coalescer};
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
    /// Followers of applications in this process.
    pub followers: Arc<Followers>,
    file: DataFile,
    writer: Writer,
    readers: Readers,
    searches: Readers,
    scans: Readers,
    messages: Coalescer<MessageKey, Option<Message>>,
    queue: QueueSettings,
    /// ID of this run of the program, as a claimer of jobs.
    claimer: String,
    /// Lock of the process that serves the file.
    exclusive: OnceLock<FileLock>,
    watch: OnceLock<Watch>,
}

impl Embedded {
    /// Prepares the stores; the file is opened when first needed.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(settings: SqliteSettings) -> Result<Self> {
        let file = DataFile::new(&settings.file, settings.timeout);
        let queue = QueueSettings {
            queue_depth: settings.queue_depth,
            dead_letters: settings.dead_letters,
            clock: settings.clock,
        };
        let readers = Readers::new(&file, Purpose::Reads);
        Ok(Self {
            wakeups: Wakeups::default(),
            followers: Arc::default(),
            writer: Writer::start(&file, queue)?,
            messages: reader::messages(&readers),
            readers,
            searches: Readers::new(&file, Purpose::Searches),
            scans: Readers::new(&file, Purpose::Scans),
            queue,
            claimer: format!("{:032x}", rand::random::<u128>()),
            exclusive: OnceLock::new(),
            watch: OnceLock::new(),
            file,
        })
    }

    /// Makes this process the one that serves the file, until it ends. Jobs of earlier processes are recovered then.
    ///
    /// # Errors
    ///
    /// Another process serves it, by whatever path; its folder is not writable; the file is missing beside its log.
    pub fn serve_exclusively(&self) -> Result<()> {
        self.file.create_folder()?;
        let lock = try_lock_serving(&self.file)?.ok_or_else(|| served(&self.file))?;
        // If it was held before, it still is.
        let _ = self.exclusive.set(lock);
        self.file.identity.set_serves();
        self.file.refuse_log_without_file()?;
        if self.file.path.exists() {
            lock_data_file(&self.file)?;
        }
        Ok(())
    }

    /// Watches the file from now on: logs an error if it is removed or replaced. Writes fail then.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn watch(&self) -> Result<()> {
        let watch = Watch::start(&self.file)?;
        // It is watched already if this is set.
        let _ = self.watch.set(watch);
        if self.file.identity.is_open() {
            restrict(&self.file);
        }
        Ok(())
    }

    /// The path of the file, as it is shown.
    pub fn path(&self) -> String {
        self.file.to_string()
    }
}
