//! Locks that only one process can hold, and that end with it: empty files in a folder beside the database.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Embedded,
    error::{failed, unavailable},
    path::{DataFile, FILE_MODE, FOLDER_MODE},
};
use crate::stores::{Error, Result};

/// Interval of retries while another process holds a lock.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Ending of the folder.
pub(super) const FOLDER: &str = "locks";

/// Name of the lock of the process that serves a file.
const SERVE: &str = "serve";

/// Number of attempts to lock the data file: a command may be looking at this lock, for some microseconds.
const ATTEMPTS: u32 = 10;

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

/// Takes the lock of the process that serves the file, if it is free.
pub(super) fn try_lock_serving(file: &DataFile) -> Result<Option<FileLock>> {
    try_lock(file, SERVE)
}

/// Locks the data file itself, for a process that serves it. The other locks are found by its path; this one also
/// excludes a process that knows the file by a hard link or through a mount. Only on Linux: elsewhere such a lock
/// conflicts with SQLite's own.
///
/// # Errors
///
/// Another process serves the file.
pub(super) fn lock_data_file(file: &DataFile) -> Result<()> {
    if cfg!(not(target_os = "linux")) || file.identity.lock.get().is_some() {
        return Ok(());
    }
    let data = File::open(&file.path).map_err(|error| lock_error(&file.path, &error))?;
    let mut locked = data.try_lock();
    for _ in 1..ATTEMPTS {
        if locked.is_ok() {
            break;
        }
        thread::sleep(RETRY_INTERVAL);
        locked = data.try_lock();
    }
    match locked {
        Ok(()) => {
            // Never closed while connections are open: that would end SQLite's locks on the file.
            let _ = file.identity.lock.set(data);
            Ok(())
        }
        Err(TryLockError::WouldBlock) => Err(served(file)),
        Err(TryLockError::Error(error)) => Err(lock_error(&file.path, &error)),
    }
}

/// Checks that no process serves the file by another path. Its log would not be found beside this path, and both would
/// write into the file without knowing of each other.
///
/// # Errors
///
/// Such a process runs.
pub(super) fn refuse_other_path(file: &DataFile) -> Result<()> {
    if cfg!(not(target_os = "linux")) || file.identity.lock.get().is_some() {
        return Ok(());
    }
    let data = File::open(&file.path).map_err(|error| lock_error(&file.path, &error))?;
    match data.try_lock_shared() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => match try_lock_serving(file)? {
            None => Ok(()),
            Some(_) => Err(unavailable(format!(
                "a confab serves {file} by another path (a hard link or a mount): set embedded.path to that path"
            ))),
        },
        Err(TryLockError::Error(error)) => Err(lock_error(&file.path, &error)),
    }
}

/// Makes the error that another process serves the file.
pub(super) fn served(file: &DataFile) -> Error {
    unavailable(format!(
        "another confab serves {file} already, perhaps by another path: stop it, or set embedded.path to another file"
    ))
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
    let folder = file.beside(FOLDER);
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(&folder) {
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
        .mode(FILE_MODE)
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
