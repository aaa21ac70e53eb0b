//! Locks that only one process can hold, and that end with it: empty files in a folder beside the database.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Embedded,
    error::{failed, unavailable},
    path::DataFile,
};
use crate::stores::{Error, Result};

/// Interval of retries while another process holds a lock.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// A lock, for as long as its file is open. The system keeps it by the opened file, not by the process: two holders in
/// one process exclude each other too.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "holding it is what it is for")] File);

impl Embedded {
    /// Acquires a lock, waiting at most `wait`; `None` if another holder has it.
    ///
    /// # Errors
    ///
    /// The folder of the data cannot be written to.
    pub async fn lock(&self, name: &str, wait: Duration) -> Result<Option<FileLock>> {
        let deadline = Instant::now() + wait;
        loop {
            let lock = try_lock(&self.file, name)?;
            if lock.is_some() || Instant::now() >= deadline {
                return Ok(lock);
            }
            tokio::time::sleep(RETRY_INTERVAL.min(wait)).await;
        }
    }
}

/// Takes a lock if it is free.
pub(super) fn try_lock(file: &DataFile, name: &str) -> Result<Option<FileLock>> {
    let (lock, path) = open(file, name)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(FileLock(lock))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(lock_error(&path, &error)),
    }
}

fn open(file: &DataFile, name: &str) -> Result<(File, PathBuf)> {
    let folder = file.beside("locks");
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(lock_error(&folder, &error));
        }
        _ => {}
    }
    let path = folder.join(name);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| lock_error(&path, &error))?;
    Ok((lock, path))
}

fn lock_error(path: &Path, error: &io::Error) -> Error {
    let detail = format!(
        "cannot lock {}: {error}; the folder of the data must be writable",
        path.display()
    );
    match error.kind() {
        // Waiting does not help.
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => failed(detail),
        _ => unavailable(detail),
    }
}

/// Fair write lock among processes. Waiters for SQLite's own lock only poll it, so a process that writes continuously
/// would starve a command, and vice versa. Here the next waiter holds the gate, and a process that has just written
/// queues behind it.
#[derive(Debug)]
pub(super) struct FairLock {
    gate: File,
    lock: File,
    path: PathBuf,
}

impl FairLock {
    pub fn new(file: &DataFile) -> Result<Self> {
        let (gate, _) = open(file, "gate")?;
        let (lock, path) = open(file, "turn")?;
        Ok(Self { gate, lock, path })
    }

    /// Waits for the lock.
    pub fn lock(&self) -> Result<FairLockGuard<'_>> {
        let taken = self.gate.lock().and_then(|()| {
            let locked = self.lock.lock();
            self.gate.unlock().and(locked)
        });
        taken.map_err(|error| lock_error(&self.path, &error))?;
        Ok(FairLockGuard(&self.lock))
    }
}

/// Guard of the write lock.
pub(super) struct FairLockGuard<'a>(&'a File);

impl Drop for FairLockGuard<'_> {
    fn drop(&mut self) {
        // It could only fail for a file that is not open.
        let _ = self.0.unlock();
    }
}
