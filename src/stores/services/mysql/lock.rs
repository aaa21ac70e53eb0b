//! Locks that only one process can hold, and that end with it.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use super::Mysql;
use crate::stores::{Result, call::call};

/// Time limit of checking that a lock is still held.
const HELD_TIMEOUT: Duration = Duration::from_secs(2);

/// SQL of a lock's name. Named locks are global to the server, not to the database, and have at most 64 characters.
const NAME: &str = "SHA2(CONCAT('confab:', DATABASE(), ':', ?), 224)";

#[derive(QueryableByName)]
struct Response {
    #[diesel(sql_type = Nullable<BigInt>)]
    yes: Option<i64>,
}

/// Named lock with its own connection: MySQL releases it when the connection ends.
pub struct NamedLock {
    connection: AsyncMysqlConnection,
    name: String,
}

impl Mysql {
    /// Acquires a lock, waiting at most `wait` (rounded up to seconds); `None` if another connection holds it.
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
    /// Tells whether the lock is still held: its connection may be closed.
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
