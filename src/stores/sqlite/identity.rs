//! Identity of the files that are open: notices that one of them was removed or replaced.
//!
//! An open file outlives its name. A write into a file without a name would be answered and lost with the process.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Endings of the files that SQLite keeps open beside the data file: its log, and the index of the log.
const LOG: [&str; 2] = ["-wal", "-shm"];

/// Device and inode of a file, which stay the same when it is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Reads the ID of the file that has this name now.
    pub fn read(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// The files that this process has open.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The data file, since this process first opened it.
    main: OnceLock<FileId>,
    /// The files of [`LOG`], since a connection keeps them open.
    log: OnceLock<[FileId; 2]>,
    /// The data file was emptied. It stays so: SQLite may have written a part of its pages since.
    emptied: AtomicBool,
    /// The data file, locked by device and inode, once this process serves it.
    pub lock: OnceLock<File>,
    /// This process is to serve the file.
    serves: AtomicBool,
}

impl Identity {
    /// Tells whether this process has opened the data file.
    pub fn is_open(&self) -> bool {
        self.main.get().is_some()
    }

    /// Tells whether this process is to serve the file.
    pub fn serves(&self) -> bool {
        self.serves.load(Ordering::Relaxed)
    }

    /// Sets that this process is to serve the file.
    pub fn set_serves(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// Keeps the ID of the data file, once it is open.
    pub fn keep(&self, id: FileId) {
        // If it was kept before, `check` compares with that.
        let _ = self.main.set(id);
    }

    /// Keeps the IDs of the log, once a connection has it open that is never closed.
    pub fn keep_log(&self, path: &Path) -> io::Result<()> {
        let [log, index] = LOG.map(|ending| FileId::read(&with_suffix(path, ending)));
        let _ = self.log.set([log?, index?]);
        Ok(())
    }

    /// Checks that the open files still have their names.
    ///
    /// # Errors
    ///
    /// The name of the file, and its fault.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        let Some(main) = self.main.get() else {
            return Ok(());
        };
        let metadata = check(path, *main)?;
        // It has one page at least, since it was opened.
        if self.log.get().is_some() && metadata.len() == 0 {
            self.emptied.store(true, Ordering::Relaxed);
        }
        if self.emptied.load(Ordering::Relaxed) {
            return Err(format!("{} was emptied", path.display()));
        }
        for (ending, id) in LOG.iter().zip(self.log.get().into_iter().flatten()) {
            check(&with_suffix(path, ending), *id)?;
        }
        Ok(())
    }
}

/// Appends an ending to a path.
pub(super) fn with_suffix(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(ending);
    path.into()
}

/// Checks one file. A link in its place counts as another file: the next start would look for the log beside the target.
fn check(path: &Path, id: FileId) -> Result<fs::Metadata, String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if FileId::of(&metadata) == id => Ok(metadata),
        Ok(_) => Err(format!("{} was replaced by another file", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{} was removed or renamed", path.display()))
        }
        Err(error) => Err(format!("cannot find {}: {error}", path.display())),
    }
}

/// Checks that there is no log without its data file. A start without the file would create an empty one, and SQLite would
/// delete the log.
///
/// # Errors
///
/// Both paths.
pub(super) fn refuse_log_without_file(path: &Path) -> Result<(), String> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let log = with_suffix(path, LOG[0]);
    if length(path) > 0 || length(&log) == 0 {
        return Ok(());
    }
    let (path, log) = (path.display(), log.display());
    Err(format!(
        "there is a log without its data file: {log} holds writes of {path}, which is missing or empty. Put the file back, or \
         delete the log to start without its writes"
    ))
}
