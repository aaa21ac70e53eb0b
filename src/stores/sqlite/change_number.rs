//! Changes of credentials: their transaction, and their numbers.

use diesel::prelude::*;

use super::{Embedded, error::Failure, schema::credential_changes};
use crate::stores::{Result, call::Call};

impl Embedded {
    /// Runs a change of credentials as one transaction.
    pub(super) async fn change_credentials<T: Send + 'static>(
        &self,
        call: &Call,
        change: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T> {
        let change = move |connection: &mut SqliteConnection| {
            let change = connection.immediate_transaction(change);
            change.map_err(Failure::from)
        };
        self.writer.run(call, change).await
    }
}

/// Takes the next number. The row stays locked until the transaction ends, so changes run one after the other.
///
/// The step is random: after a fail-over to a replica that lacks the last changes, the next change must not get a number
/// that processes have read already. 2^63 is reached after 2^44 changes on average.
pub(super) fn next(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let step = 1 + i64::from(rand::random::<u32>() >> 12);
    diesel::update(credential_changes::table)
        .set(credential_changes::number.eq(credential_changes::number + step))
        .execute(connection)?;
    current(connection)
}

/// The number of the last change.
pub(super) fn current(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let number = credential_changes::table.select(credential_changes::number);
    number.first(connection)
}
