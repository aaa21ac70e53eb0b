//! Where the queues of the cases are: without the program around them, so that a case is fast.

use std::path::PathBuf;

use confab::{config::Settings, startup, stores::Backend};

use super::plain::{DEAD_LETTERS, QUEUE_DEPTH};
use crate::support::Site;

/// Where the queues of the cases are.
pub enum Place<'a> {
    /// Under a prefix of the case's own. Nothing is stored in the database, which all cases share.
    Redis { site: &'a Site, prefix: String },
    /// In a file of the case's own.
    Sqlite { file: PathBuf },
}

impl Place<'_> {
    /// The queue, in the hands of a new run of the program.
    pub async fn open(&self) -> Backend {
        let mut variables = vec![
            ("CONFAB_LIMITS__QUEUE_DEPTH", QUEUE_DEPTH.to_string()),
            ("CONFAB_LIMITS__DEAD_LETTERS", DEAD_LETTERS.to_string()),
        ];
        match self {
            Place::Redis { site, prefix } => {
                variables.extend(site.settings());
                variables.push(("CONFAB_SERVICES__REDIS_PREFIX", prefix.clone()));
            }
            Place::Sqlite { file } => {
                variables.push(("CONFAB_BACKING", "embedded".into()));
                variables.push(("CONFAB_EMBEDDED__PATH", file.display().to_string()));
            }
        }
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let settings = Settings::read(None, variables).expect("valid settings");
        let backend = startup::backend(&settings).expect("stores can be prepared");
        if let Backend::Embedded(file) = &backend {
            file.serve_exclusively().expect("the only one");
        }
        backend.migrate().await.expect("a schema");
        backend
    }

    /// Removes what the case made.
    pub async fn remove(&self) {
        match self {
            Place::Redis { site, .. } => site.services().remove_keys().await.expect("removed"),
            Place::Sqlite { file } => {
                std::fs::remove_dir_all(file.parent().expect("a folder")).expect("removed");
            }
        }
    }
}
