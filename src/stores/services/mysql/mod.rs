//! The rows, in MySQL.

mod access_keys;
mod applications;
mod build;
mod change_number;
mod changes;
mod connect;
mod counts;
mod creations;
mod credentials;
mod deletion;
mod diagnose;
mod epoch;
mod erase;
mod erasures;
mod errors;
mod facts;
mod idempotency;
mod installation;
mod keys;
mod lock;
mod migrate;
mod orphans;
mod outbox;
mod parents;
mod pool;
mod read;
mod recount;
mod redis_masters;
mod retention;
mod revisions;
mod rows;
mod scan;
mod schema;
mod store;

use std::{sync::Arc, time::Duration};

use url::Url;

pub(crate) use self::erasures::UnfinishedErasure;
pub use self::{
    changes::StoredChanges,
    counts::{CHATS, Count, MESSAGES},
    creations::StoredCreation,
    facts::{StoredOwner, StoredVersion},
    installation::Installation,
    lock::NamedLock,
    retention::ExpiredChat,
};
use self::{connect::Connector, pool::Pool};
use crate::{
    domain::{Message, MessageKey},
    stores::{
        Result,
        coalescer::Coalescer,
        services::tls::{Tls, TlsFiles},
    },
};

/// Maximum number of messages that one statement reads for several requests.
const GROUP: usize = 64;

/// Maximum number of such statements in flight. With fewer, groups are larger: with 64 connections, two instead of four save MySQL
/// a tenth of the CPU.
const IN_FLIGHT: usize = 2;

/// The rows.
pub struct Mysql {
    pool: Arc<Pool>,
    messages: Coalescer<MessageKey, Option<Message>>,
}

impl Mysql {
    /// Prepares up to `pool_size` connections, with a time limit of `timeout` per call. They are opened lazily.
    ///
    /// # Errors
    ///
    /// A URL that leads to no MySQL, and files that cannot be used.
    pub fn new(url: &Url, files: &TlsFiles, pool_size: usize, timeout: Duration) -> Result<Self> {
        let tls = Tls::read(errors::STORE, connect::SETTINGS, files)?;
        let pool = Arc::new(Pool::new(Connector::new(url, &tls)?, pool_size, timeout)?);
        let reader = pool.clone();
        Ok(Self {
            pool,
            messages: Coalescer::new("MySQL", GROUP, IN_FLIGHT, move |keys| {
                let pool = reader.clone();
                async move { read::messages(&pool, &keys).await }
            }),
        })
    }
}
