//! The queues of the cases, opened in-process so that a case is fast.

use std::path::PathBuf;

use confab::{config::Settings, startup, stores::Backend};

use super::reference::{DEAD_LETTERS, QUEUE_DEPTH};
use crate::support::Fixture;

/// The location of a case's queue.
pub enum QueueLocation<'a> {
    /// Under a prefix of its own. Nothing is stored in the database, which all cases share.
    Redis {
        fixture: &'a Fixture,
        prefix: String,
    },
    /// In a file of its own.
    Sqlite { file: PathBuf },
}

impl QueueLocation<'_> {
    /// Opens the queue, as a new run of the program does.
    pub async fn open(&self) -> Backend {
        let mut variables = vec![
            ("CONFAB_LIMITS__QUEUE_DEPTH", QUEUE_DEPTH.to_string()),
            ("CONFAB_LIMITS__DEAD_LETTERS", DEAD_LETTERS.to_string()),
        ];
        match self {
            QueueLocation::Redis { fixture, prefix } => {
                variables.extend(fixture.settings());
                variables.push(("CONFAB_SERVICES__REDIS_PREFIX", prefix.clone()));
            }
            QueueLocation::Sqlite { file } => {
                variables.push(("CONFAB_BACKING", "embedded".into()));
                variables.push(("CONFAB_EMBEDDED__PATH", file.display().to_string()));
            }
        }
        let environment = variables.into_iter().collect();
        let settings = Settings::read(None, &environment).expect("valid settings");
        let backend = startup::backend(&settings).expect("stores can be prepared");
        if let Backend::Embedded(file) = &backend {
            file.serve_exclusively()
                .expect("no other process serves the file");
        }
        backend.migrate().await.expect("a schema");
        backend
    }

    /// Removes the data of the case.
    pub async fn remove(&self) {
        match self {
            QueueLocation::Redis { fixture, .. } => {
                fixture.services().remove_keys().await.expect("removed")
            }
            QueueLocation::Sqlite { file } => {
                std::fs::remove_dir_all(file.parent().expect("a folder")).expect("removed");
            }
        }
    }
}
