//! Log level, and changing it at run time.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use tokio::signal::unix::{SignalKind, signal};
use tracing::{level_filters::LevelFilter, warn};
use tracing_subscriber::{Registry, filter::Targets, reload::Handle};

use crate::config::LogLevel;

/// Levels in the order of their declaration, which is ascending verbosity, and what they show.
const LEVELS: [(LogLevel, LevelFilter); 5] = [
    (LogLevel::Error, LevelFilter::ERROR),
    (LogLevel::Warn, LevelFilter::WARN),
    (LogLevel::Info, LevelFilter::INFO),
    (LogLevel::Debug, LevelFilter::DEBUG),
    (LogLevel::Trace, LevelFilter::TRACE),
];

struct LevelSwitch {
    level: Mutex<LogLevel>,
    filter: Handle<Targets, Registry>,
}

static SWITCH: OnceLock<LevelSwitch> = OnceLock::new();

/// Filter of a level. Lines of libraries are limited to warnings: finer ones may contain clients' data.
pub(super) fn shown(level: LogLevel) -> Targets {
    let (_, level) = LEVELS[level as usize];
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Keeps what changes the level later.
pub(super) fn keep(level: LogLevel, filter: Handle<Targets, Registry>) {
    let level = Mutex::new(level);
    let _ = SWITCH.set(LevelSwitch { level, filter });
}

/// Handles signals: SIGUSR1 raises the verbosity by one level, SIGUSR2 lowers it.
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
    let position = (*level as usize).checked_add_signed(by);
    let Some((next, _)) = position.and_then(|position| LEVELS.get(position).copied()) else {
        return;
    };
    // While the finer of the two is in force, so that the line is seen either way.
    let log = || warn!(from = level.name(), to = next.name(), "Log level changed");
    if by > 0 {
        let _ = switch.filter.reload(shown(next));
        log();
    } else {
        log();
        let _ = switch.filter.reload(shown(next));
    }
    *level = next;
}
