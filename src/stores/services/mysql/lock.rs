//! Locks that only one process can hold, and that end with it.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::Mysql;
use crate::stores::{Result, call::call};

/// How long it may take to find out whether a lock is still held.
const HELD_TIMEOUT: Duration = Duration::from_secs(2);

/// MySQL's named locks are the server's, not the database's, and their names have at most 64 characters.
const NAME: &str = "SHA2(CONCAT('confab:', DATABASE(), ':', ?), 224)";

#[derive(QueryableByName)]
struct Response {
    #[diesel(sql_type = Nullable<BigInt>)]
    yes: Option<i64>,
}

/// A named lock, on a connection of its own: MySQL ends it with the connection.
pub struct NamedLock {
    connection: AsyncMysqlConnection,
    name: String,
}

impl Mysql {
    /// Takes a lock, waiting at most `wait` (rounded up to seconds); `None` if another holds it.
    pub async fn lock(&self, name: &str, wait: Duration) -> Result<Option<NamedLock>> {
        let take = self.take_lock(name, wait);
        call!("records", "lock").timed(take).await
    }

    async fn take_lock(&self, name: &str, wait: Duration) -> Result<Option<NamedLock>> {
        let mut connection = self.pool.dedicated().await?;
        let seconds = i64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let query = diesel::sql_query(format!("SELECT GET_LOCK({NAME}, ?) AS yes"))
            .bind::<Text, _>(name)
            .bind::<BigInt, _>(seconds);
        // MySQL keeps to the wait by itself, which may be longer than a call may take.
        let response = query.get_result::<Response>(&mut connection);
        let response = self.pool.within(wait + self.pool.timeout, response).await?;
        Ok((response.yes == Some(1)).then(|| NamedLock {
            connection,
            name: name.to_owned(),
        }))
    }
}

impl NamedLock {
    /// Tells whether the lock is still held: its connection may have died.
    pub async fn is_held(&mut self) -> bool {
        let query = diesel::sql_query(format!(
            "SELECT IS_USED_LOCK({NAME}) = CONNECTION_ID() AS yes"
        ))
        .bind::<Text, _>(&self.name);
        let response = tokio::time::timeout(
            HELD_TIMEOUT,
            query.get_result::<Response>(&mut self.connection),
        );
        matches!(response.await, Ok(Ok(Response { yes: Some(1) })))
    }
}
