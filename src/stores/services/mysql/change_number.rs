//! Numbers of the changes of credentials.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{pool::Connection, schema::credential_changes};

/// Takes the next number. The row stays locked until the transaction ends, so changes run one after the other.
pub(super) async fn next(connection: &mut Connection) -> QueryResult<i64> {
    diesel::update(credential_changes::table)
        .set(credential_changes::number.eq(credential_changes::number + 1))
        .execute(connection)
        .await?;
    current(connection).await
}

/// The number of the last change.
pub(super) async fn current(connection: &mut Connection) -> QueryResult<i64> {
    let number = credential_changes::table.select(credential_changes::number);
    number.first(connection).await
}
