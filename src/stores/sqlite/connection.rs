//! Connections to the file, made when first needed and again after they met an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::{
    error::{Failure, Outcome, classify, failed, panicked, unavailable},
    identity::FileId,
    interrupt,
    lock::{FairLock, lock_data_file, refuse_other_path},
    path::DataFile,
    versions,
};
use crate::stores::{Error, Result};

/// Characters that need no escaping in the path of a `file:` URI.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Every session: a commit is on the disk before it is answered. The cache is counted in KiB by its negative.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
                       PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;";

/// Role of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Writes,
    /// Reading only.
    Reads,
}

/// A connection that is opened when it is first used, and again after an error.
pub(super) struct LazyConnection {
    file: DataFile,
    role: Role,
    connection: Option<SqliteConnection>,
    /// Lock of the write connection, opened at its first use.
    write_lock: Option<FairLock>,
}

impl LazyConnection {
    pub fn new(file: &DataFile, role: Role) -> Self {
        Self {
            file: file.clone(),
            role,
            connection: None,
            write_lock: None,
        }
    }

    /// Runs `work` on the connection. After an error that is not a data error, the connection is replaced, as its state
    /// is unknown. A write fails if the file was removed or replaced by the time it is done.
    pub fn run<T>(&mut self, work: impl FnOnce(&mut SqliteConnection) -> Outcome<T>) -> Result<T> {
        if self.role == Role::Writes {
            self.file.check_identity()?;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.file, self.role, false)?,
        };
        if self.role == Role::Writes && self.write_lock.is_none() {
            self.write_lock = Some(FairLock::new(&self.file)?);
        }
        let guard = self.write_lock.as_ref().map(FairLock::lock).transpose()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut connection)));
        drop(guard);
        let outcome = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Failure::Store(error))) => Err(error),
            Ok(Err(Failure::Database(error))) => match classify(&self.file, &error) {
                rejection @ Error::Rejected { .. } => Err(rejection),
                error => return Err(error),
            },
            Err(panic) => return Err(panicked(&*panic)),
        };
        self.connection = Some(connection);
        if self.role == Role::Writes {
            self.file.check_identity()?;
        }
        outcome
    }
}

/// Opens the file; creates it if `create` is set.
pub(super) fn open(file: &DataFile, role: Role, create: bool) -> Result<SqliteConnection> {
    file.check_identity()?;
    if create {
        file.create()?;
    }
    let id = || FileId::read(&file.path).map_err(|_| missing(file));
    let before = id()?;
    if !file.identity.is_open() {
        match file.identity.serves() {
            true => lock_data_file(file)?,
            false => refuse_other_path(file)?,
        }
    }
    interrupt::install()?;
    let uri = format!(
        "file:{}?mode=rw",
        percent_encode(file.path.as_os_str().as_encoded_bytes(), ESCAPED),
    );
    let mut connection = SqliteConnection::establish(&uri).map_err(|error| {
        unavailable(format!(
            "cannot open {file}: {error}; the file and its folder must be readable and writable"
        ))
    })?;
    if before != id()? {
        return Err(unavailable(format!(
            "{file} was replaced while it was opened"
        )));
    }
    let cache = match role {
        Role::Writes => 8 << 10,
        Role::Reads => 2 << 10,
    };
    let session = format!(
        "PRAGMA busy_timeout = {}; PRAGMA cache_size = -{cache}; {SESSION}{}",
        file.timeout.as_millis(),
        match role {
            // What is deleted is overwritten.
            Role::Writes => " PRAGMA secure_delete = ON;",
            Role::Reads => " PRAGMA query_only = ON;",
        }
    );
    let opened = connection
        .batch_execute(&session)
        .map_err(Failure::from)
        .and_then(|()| versions::refuse_newer(&mut connection, file));
    match opened {
        Ok(()) => {
            file.identity.keep(before);
            Ok(connection)
        }
        Err(Failure::Database(error)) => Err(classify(file, &error)),
        Err(Failure::Store(error)) => Err(error),
    }
}

fn missing(file: &DataFile) -> Error {
    failed(format!(
        "there is no {file} yet; `confab serve` and `confab migrate` create it"
    ))
}

#[cfg(test)]
mod tests {
    use diesel::{RunQueryDsl as _, dsl::sql, sql_types::Bool};

    use super::*;

    #[test]
    fn sqlite_is_compiled_as_cargos_configuration_says() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        for (option, wanted) in [
            ("ENABLE_QPSG", true),
            ("DEFAULT_MEMSTATUS=0", true),
            ("THREADSAFE=2", true),
            ("ENABLE_MEMORY_MANAGEMENT", false),
            ("ENABLE_DBPAGE_VTAB", true),
        ] {
            let used = sql::<Bool>(&format!("sqlite_compileoption_used('{option}')"));
            let used: bool = diesel::select(used).get_result(&mut connection).unwrap();
            assert_eq!(used, wanted, "{option}");
        }
    }
}
