//! Limit of open files, which connections, stores and threads share.

use std::{num::NonZero, thread};

use crate::config::{BackendKind, Settings};
use anyhow::{Context as _, bail};

/// Open files of the process itself: data file, log, listeners, signals, a few connections to the admin listener.
const PROCESS: u64 = 96;

/// Open files of each thread that serves requests.
const THREAD: u64 = 8;

/// Connections to the stores besides those of the pools: locks, searches, the shared one of Redis.
const STORES: u64 = 64;

/// Connections of clients below which the process does not start.
const CONNECTIONS: u64 = 64;

/// Raises the limit of open files as far as the system allows. Returns how many connections of clients it has room for,
/// at most `server.connections`: more would take the files that the stores need.
///
/// # Errors
///
/// A limit that is too low for the process to work.
pub fn reserve(settings: &Settings) -> anyhow::Result<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX)
        .context("the limit of open files cannot be read or raised")?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    room(settings, limit, threads)
}

fn room(settings: &Settings, limit: u64, threads: usize) -> anyhow::Result<usize> {
    let services = &settings.services;
    let stores = match settings.backend {
        BackendKind::Embedded => 0,
        BackendKind::Services => {
            STORES + (services.mysql_connections + services.redis_connections) as u64
        }
    };
    let needed = PROCESS + THREAD * threads as u64 + stores;
    let wanted = settings.server.connections;
    let least = needed + CONNECTIONS.min(wanted as u64);
    if limit < least {
        bail!(
            "the limit of open files is {limit}, and at least {least} are needed: raise it (ulimit -n, LimitNOFILE of systemd)"
        );
    }
    let room = usize::try_from(limit - needed).unwrap_or(usize::MAX);
    Ok(room.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn connections_take_only_what_the_rest_leaves() {
        let mut settings = Settings::read(None, &Environment::default()).unwrap();
        settings.server.connections = 1000;
        let room = |settings: &Settings, limit| room(settings, limit, 2).ok();
        assert_eq!(room(&settings, 175), None);
        assert_eq!(room(&settings, 176), Some(64));
        assert_eq!(room(&settings, 1112), Some(1000));
        assert_eq!(room(&settings, u64::MAX), Some(1000));
        settings.backend = BackendKind::Services;
        assert_eq!(room(&settings, 263), None);
        assert_eq!(room(&settings, 264), Some(64));
        settings.server.connections = 1;
        assert_eq!(room(&settings, 201), Some(1));
    }
}
