//! Log: one line per event, to standard error.
//!
//! A separate thread writes the lines, so that a slow terminal or pipe blocks no task. Its buffer is bounded; lines
//! that do not fit are dropped and counted.

mod level;

use std::{
    io::{self, BufWriter, IsTerminal, Write as _},
    sync::{Mutex, OnceLock, PoisonError},
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

pub use self::level::follow_signals;
use crate::config::{Log, LogFormat};

/// Maximum number of waiting lines: about 10 MB, a second of the busiest log.
const LINES: usize = 50_000;

/// Size of the write buffer in bytes.
const BUFFER: usize = 64 << 10;

/// Log writer of this process.
struct Writing {
    /// Dropped to have the rest written; `None` from then on.
    thread: Mutex<Option<WorkerGuard>>,
    dropped: ErrorCounter,
}

static WRITING: OnceLock<Writing> = OnceLock::new();

/// Begins to log; a second call changes nothing.
pub fn start(settings: &Log) {
    let (shown, switch) = reload::Layer::new(level::shown(settings.level));
    let (writer, thread) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .lossy(true)
        .thread_name("log")
        .finish(BufWriter::with_capacity(BUFFER, io::stderr()));
    let dropped = writer.error_counter();
    let lines = fmt::layer()
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal());
    let log = tracing_subscriber::registry().with(shown);
    let begun = match settings.format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            log.with(lines).try_init()
        }
        LogFormat::Text => log.with(lines).try_init(),
    };
    if begun.is_ok() {
        level::keep(settings.level, switch);
        let thread = Mutex::new(Some(thread));
        let _ = WRITING.set(Writing { thread, dropped });
    }
}

/// Writes all waiting lines, within about a second. Called last; nothing is logged afterwards.
pub fn end() {
    if let Some(writing) = WRITING.get() {
        let thread = writing.thread.lock();
        drop(thread.unwrap_or_else(PoisonError::into_inner).take());
        let dropped = dropped_lines();
        if dropped > 0 {
            // Where even this cannot be written, there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "{dropped} log lines were dropped: standard error was too slow"
            );
        }
    }
}

/// Number of lines dropped since the start, because standard error was too slow.
pub fn dropped_lines() -> u64 {
    let dropped = WRITING.get().map(|writing| writing.dropped.dropped_lines());
    dropped.unwrap_or_default() as u64
}
