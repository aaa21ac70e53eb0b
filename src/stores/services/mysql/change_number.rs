//! Numbers of the changes of credentials.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{pool::Connection, schema::credential_changes};

/// Takes the next number. The row stays locked until the transaction ends, so changes run one after the other.
///
/// The step is random: after a fail-over to a replica that lacks the last changes, the next change must not get a number
/// that processes have read already. 2^63 is reached after 2^44 changes on average.
pub(super) async fn next(connection: &mut Connection) -> QueryResult<i64> {
    let step = 1 + i64::from(rand::random::<u32>() >> 12);
    diesel::update(credential_changes::table)
        .set(credential_changes::number.eq(credential_changes::number + step))
        .execute(connection)
        .await?;
    current(connection).await
}

/// The number of the last change.
pub(super) async fn current(connection: &mut Connection) -> QueryResult<i64> {
    let number = credential_changes::table.select(credential_changes::number);
    number.first(connection).await
}
