//! How much is logged, and changing that while the process runs.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use tokio::signal::unix::{SignalKind, signal};
use tracing::{level_filters::LevelFilter, warn};
use tracing_subscriber::{Registry, filter::Targets, reload::Handle};

use crate::config::LogLevel;

/// From the least to the most.
const LEVELS: [LogLevel; 5] = [
    LogLevel::Error,
    LogLevel::Warn,
    LogLevel::Info,
    LogLevel::Debug,
    LogLevel::Trace,
];

struct LevelSwitch {
    level: Mutex<LogLevel>,
    filter: Handle<Targets, Registry>,
}

static SWITCH: OnceLock<LevelSwitch> = OnceLock::new();

/// What is shown at a level. Of what the libraries say, warnings at most: finer lines of theirs may hold what clients
/// sent, and are of no use to an operator.
pub(super) fn shown(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Keeps what changes the level later.
pub(super) fn keep(level: LogLevel, filter: Handle<Targets, Registry>) {
    let level = Mutex::new(level);
    let _ = SWITCH.set(LevelSwitch { level, filter });
}

/// From now on SIGUSR1 has one level more shown, and SIGUSR2 one less.
///
/// # Errors
///
/// Signals that cannot be listened for.
pub fn follow_signals() -> io::Result<()> {
    let mut more = signal(SignalKind::user_defined1())?;
    let mut less = signal(SignalKind::user_defined2())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = more.recv() => change(1),
                _ = less.recv() => change(-1),
            }
        }
    });
    Ok(())
}

fn change(by: isize) {
    let Some(switch) = SWITCH.get() else {
        return;
    };
    let mut level = switch.level.lock().unwrap_or_else(PoisonError::into_inner);
    let position = LEVELS.iter().position(|candidate| candidate == &*level);
    let Some(next) = position
        .and_then(|position| position.checked_add_signed(by))
        .and_then(|position| LEVELS.get(position).copied())
    else {
        return;
    };
    // While the finer of the two is in force, so that the line is seen either way.
    let log = || {
        warn!(
            from = level.name(),
            to = next.name(),
            "the log level changes"
        )
    };
    if by > 0 {
        let _ = switch.filter.reload(shown(next));
        log();
    } else {
        log();
        let _ = switch.filter.reload(shown(next));
    }
    *level = next;
}
