//! Signals that end the process.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM, SIGINT or SIGHUP. A SIGHUP that was ignored when the process started stays ignored (`nohup`).
///
/// # Errors
///
/// Signals that cannot be listened for.
pub async fn requested() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = SignalKind::hangup();
    let mut hangup = if is_ignored(hangup) {
        None
    } else {
        Some(signal(hangup)?)
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = next(&mut hangup) => {}
    }
    Ok(())
}

/// Waits for a signal; for ever, if it is not listened for.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Tells whether this process ignores a signal. On systems without `/proc` the answer is no.
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1.
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}
