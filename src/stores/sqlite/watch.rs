//! Watch over the data file while it is served: reports that it was removed or replaced.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use diesel::SqliteConnection;
use tracing::{debug, error, warn};

use super::{
    connection::{Role, open},
    error::failed,
    path::DataFile,
};
use crate::stores::Result;

/// Interval of the checks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Handle of the thread that watches.
pub(super) struct Watch {
    /// `None` only while it is dropped.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// State of the thread.
struct Watcher {
    file: DataFile,
    /// A connection that is never closed. SQLite deletes the log when the last connection is closed; with this one, a log
    /// that is missing was removed by somebody else.
    connection: Option<SqliteConnection>,
    lost: bool,
}

impl Watch {
    /// Starts the thread. The first check is done when this returns.
    pub fn start(file: &DataFile) -> Result<Self> {
        let mut watcher = Watcher {
            file: file.clone(),
            connection: None,
            lost: false,
        };
        watcher.check();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sqlite-watch".into())
            .spawn(move || {
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    watcher.check();
                }
            })
            .map_err(|error| failed(format!("cannot start the watching thread: {error}")))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    /// Waits until the thread has closed its connection.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has no result to report.
            let _ = thread.join();
        }
    }
}

impl Watcher {
    /// Compares the open files with the names, and logs a change.
    fn check(&mut self) {
        if self.connection.is_none() {
            self.connect();
        }
        let path = self.file.to_string();
        match (self.file.check_identity(), self.lost) {
            (Err(reason), false) => error!(
                path,
                %reason,
                "Data file was removed or replaced; writes return 503 and a restart loses the data: docs/troubleshooting.md"
            ),
            (Ok(()), true) => warn!(path, "Data file is back; writes are accepted again"),
            _ => return,
        }
        self.lost = !self.lost;
    }

    /// Opens the file, if there is one. Errors are reported by the calls that meet them.
    fn connect(&mut self) {
        let opened = open(&self.file, Role::Reads, false).and_then(|connection| {
            self.file.keep_log_identity()?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => debug!(%error, "Data file is not open yet"),
        }
    }
}
