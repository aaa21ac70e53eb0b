//! Connections to the file, made when first needed and again after they met an error.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::{
    error::{Failure, Outcome, failed, meaning, panicked, unavailable},
    lock::{NamedLock, Turns},
    migrate,
};
use crate::stores::{Error, Result};

/// What need not be escaped in the path of a `file:` URI.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Every session: a commit is on the disk before it is answered. The cache is counted in KiB by its negative.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
                       PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Writes,
    /// Reading only.
    Reads,
}

/// Where the file is, and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub file: PathBuf,
    pub timeout: Duration,
    /// Held while this process is the one that serves the file.
    pub sole: Arc<OnceLock<NamedLock>>,
}

impl Place {
    /// The file's name in messages.
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// Whether this process is the one that serves it.
    pub fn is_ours(&self) -> bool {
        self.sole.get().is_some()
    }

    /// A file beside it.
    pub fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    /// Makes the folder, if there is none.
    pub fn make_folder(&self) -> Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| {
            failed(format!(
                "cannot make the folder {}: {error}; embedded.path says where the data goes",
                folder.display()
            ))
        })
    }
}

/// A place for one connection.
pub(super) struct Slot {
    place: Place,
    role: Role,
    connection: Option<SqliteConnection>,
    /// Of one that writes, once it has.
    turns: Option<Turns>,
}

impl Slot {
    pub fn new(place: &Place, role: Role) -> Self {
        Self {
            place: place.clone(),
            role,
            connection: None,
            turns: None,
        }
    }

    /// Runs something on the connection. After an error that is not about the data, the next one gets a new connection:
    /// what state this one is in, nobody knows.
    pub fn run<T>(&mut self, work: impl FnOnce(&mut SqliteConnection) -> Outcome<T>) -> Result<T> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.place, self.role, false)?,
        };
        if self.role == Role::Writes && self.turns.is_none() {
            self.turns = Some(Turns::new(&self.place)?);
        }
        let turn = self.turns.as_ref().map(Turns::wait).transpose()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut connection)));
        drop(turn);
        let outcome = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Failure::Store(error))) => Err(error),
            Ok(Err(Failure::Database(error))) => match meaning(&self.place.name(), &error) {
                refusal @ Error::Rejected { .. } => Err(refusal),
                error => return Err(error),
            },
            Err(panic) => return Err(panicked(&*panic)),
        };
        self.connection = Some(connection);
        outcome
    }
}

/// Opens the file; makes it if that is asked for.
pub(super) fn open(place: &Place, role: Role, create: bool) -> Result<SqliteConnection> {
    let name = place.name();
    if !create && !place.file.exists() {
        return Err(failed(format!(
            "there is no {name} yet; `confab serve` and `confab migrate` make it"
        )));
    }
    let uri = format!(
        "file:{}?mode={}",
        percent_encode(place.file.as_os_str().as_encoded_bytes(), ESCAPED),
        if create { "rwc" } else { "rw" }
    );
    let mut connection = SqliteConnection::establish(&uri).map_err(|error| {
        unavailable(format!(
            "cannot open {name}: {error}; the file and its folder must be readable and writable"
        ))
    })?;
    let cache = match role {
        Role::Writes => 8 << 10,
        Role::Reads => 2 << 10,
    };
    let session = format!(
        "PRAGMA busy_timeout = {}; PRAGMA cache_size = -{cache}; {SESSION}{}",
        place.timeout.as_millis(),
        match role {
            Role::Writes => "",
            Role::Reads => " PRAGMA query_only = ON;",
        }
    );
    let opened = connection
        .batch_execute(&session)
        .map_err(Failure::from)
        .and_then(|()| migrate::refuse_newer(&mut connection, &name));
    match opened {
        Ok(()) => Ok(connection),
        Err(Failure::Database(error)) => Err(meaning(&name, &error)),
        Err(Failure::Store(error)) => Err(error),
    }
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
        ] {
            let used = sql::<Bool>(&format!("sqlite_compileoption_used('{option}')"));
            let used: bool = diesel::select(used).get_result(&mut connection).unwrap();
            assert_eq!(used, wanted, "{option}");
        }
    }
}
