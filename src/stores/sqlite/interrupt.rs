//! Interruption of queries: at their deadline, and when nobody waits for them any more.
//!
//! A thread that runs a query cannot be cancelled. SQLite calls a progress handler every few steps of a query and ends
//! the query if it returns true. diesel does not pass on the handle that the handler is set on; SQLite itself passes it
//! to an extension, for each connection that is opened.

use std::{
    cell::RefCell,
    ffi::{c_char, c_int, c_void},
    ptr,
    sync::{OnceLock, Weak},
    time::Instant,
};

use libsqlite3_sys::{
    SQLITE_OK, sqlite3, sqlite3_api_routines, sqlite3_auto_extension, sqlite3_progress_handler,
};

use super::error::failed;
use crate::stores::Result;

/// Steps of a query between two calls of the handler. A call costs less than a hundredth of them. FTS5 takes a few steps
/// for each page of the index that it reads.
const STEPS: c_int = 400;

thread_local! {
    /// Limit of the query that this thread runs.
    static LIMIT: RefCell<Option<Limit>> = const { RefCell::new(None) };
}

/// Limit of a query.
pub(super) struct Limit {
    /// Time at which it is interrupted.
    pub deadline: Option<Instant>,
    /// Held by the caller for as long as it waits.
    pub caller: Weak<()>,
}

impl Limit {
    /// Tells whether the query is to be interrupted.
    pub fn is_reached(&self) -> bool {
        self.caller.strong_count() == 0 || self.deadline.is_some_and(|at| at <= Instant::now())
    }
}

/// Runs `work`; queries of this thread are interrupted at the limit.
pub(super) fn within<T>(limit: Limit, work: impl FnOnce() -> T) -> T {
    /// Removes the limit, also if `work` panics.
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            LIMIT.set(None);
        }
    }
    LIMIT.set(Some(limit));
    let _reset = Reset;
    work()
}

/// Makes SQLite set the handler on each connection from now on.
pub(super) fn install() -> Result<()> {
    static INSTALLED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: `set_handler` has the type that SQLite calls, and is never unloaded.
    let code = *INSTALLED.get_or_init(|| unsafe { sqlite3_auto_extension(Some(set_handler)) });
    match code {
        SQLITE_OK => Ok(()),
        code => Err(failed(format!("cannot limit queries: error {code}"))),
    }
}

/// Called by SQLite for each new connection.
unsafe extern "C" fn set_handler(
    connection: *mut sqlite3,
    _error: *mut *mut c_char,
    _api: *const sqlite3_api_routines,
) -> c_int {
    // SAFETY: the connection is valid and used by nobody else yet; the handler takes no argument.
    unsafe { sqlite3_progress_handler(connection, STEPS, Some(is_over), ptr::null_mut()) };
    SQLITE_OK
}

/// Called by SQLite in the thread that runs the query. Does not panic.
unsafe extern "C" fn is_over(_argument: *mut c_void) -> c_int {
    let over = LIMIT.try_with(|limit| {
        let limit = limit.try_borrow();
        limit.is_ok_and(|limit| limit.as_ref().is_some_and(Limit::is_reached))
    });
    c_int::from(over.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};

    use super::*;

    const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";

    fn connection() -> SqliteConnection {
        install().unwrap();
        SqliteConnection::establish(":memory:").unwrap()
    }

    #[test]
    fn query_ends_at_its_deadline_and_the_connection_remains_usable() {
        let (mut connection, caller) = (connection(), Arc::new(()));
        let limit = Limit {
            deadline: Some(Instant::now() + Duration::from_millis(20)),
            caller: Arc::downgrade(&caller),
        };
        let error = within(limit, || connection.batch_execute(ENDLESS)).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        connection.batch_execute("SELECT 1").unwrap();
    }

    #[test]
    fn query_ends_when_its_caller_stops_waiting() {
        let (mut connection, caller) = (connection(), Arc::new(()));
        let limit = Limit {
            deadline: None,
            caller: Arc::downgrade(&caller),
        };
        let query = thread::spawn(move || within(limit, || connection.batch_execute(ENDLESS)));
        drop(caller);
        assert_eq!(
            query.join().unwrap().unwrap_err().to_string(),
            "interrupted"
        );
    }
}
