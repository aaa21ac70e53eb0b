//! Numbers of the changes of credentials.

use diesel::prelude::*;

use super::schema::credential_changes;

/// Takes the next number. The row stays locked until the transaction ends, so changes run one after the other.
pub(super) fn next(connection: &mut SqliteConnection) -> QueryResult<i64> {
    diesel::update(credential_changes::table)
        .set(credential_changes::number.eq(credential_changes::number + 1))
        .execute(connection)?;
    current(connection)
}

/// The number of the last change.
pub(super) fn current(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let number = credential_changes::table.select(credential_changes::number);
    number.first(connection)
}
