//! The log: one line an event, to standard error.
//!
//! Lines are written by a thread of their own, so that a slow terminal or pipe holds up nobody. What waits for it is
//! bounded; what does not fit is dropped, and counted.

mod level;

use std::{
    io::{self, BufWriter, IsTerminal},
    sync::{Mutex, OnceLock, PoisonError},
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

pub use self::level::follow_signals;
use crate::config::{Log, LogFormat};

/// Lines that may wait to be written: a second of the busiest log, some 10 MB.
const LINES: usize = 50_000;

/// What is put together for one write to standard error, in bytes.
const BUFFER: usize = 64 << 10;

/// Where the lines of this process go.
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

/// Has all lines written that wait, within a second or so: the last thing to do before the process ends. Nothing is
/// logged from then on.
pub fn end() {
    if let Some(writing) = WRITING.get() {
        let thread = writing.thread.lock();
        drop(thread.unwrap_or_else(PoisonError::into_inner).take());
        let dropped = dropped_lines();
        if dropped > 0 {
            eprintln!("{dropped} lines of the log were dropped: standard error did not keep up");
        }
    }
}

/// How many lines were dropped since the start, because standard error did not keep up.
pub fn dropped_lines() -> u64 {
    let dropped = WRITING.get().map(|writing| writing.dropped.dropped_lines());
    dropped.unwrap_or_default() as u64
}
