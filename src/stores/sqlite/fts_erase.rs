//! Removing documents and their words from the full text.
//!
//! FTS5 marks deleted documents only, as it does not know their words. It leaves them out when it merges segments.

use std::ops::Range;

use diesel::{dsl::sql, prelude::*, sql_query, sql_types::BigInt};

use super::schema::search_indexes;

/// Pages of an index that one step of a merge writes. A page has 4 KB.
const MERGED_PAGES: i64 = 64;

/// Removes the documents of a range of row IDs from all indices.
pub(super) fn delete(connection: &mut SqliteConnection, ids: Range<i64>) -> QueryResult<()> {
    for index in all(connection)? {
        sql_query(format!(
            "DELETE FROM {index} WHERE rowid >= ? AND rowid < ?"
        ))
        .bind::<BigInt, _>(ids.start)
        .bind::<BigInt, _>(ids.end)
        .execute(connection)?;
    }
    Ok(())
}

/// All indices, with those that an abandoned rebuild left.
fn all(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    search_indexes::table
        .select(search_indexes::name)
        .load(connection)
}

/// Begins to merge all segments of each index into one, which removes the words of deleted documents.
pub(super) fn begin_merge(connection: &mut SqliteConnection) -> QueryResult<()> {
    for index in all(connection)? {
        merge(connection, &index, -MERGED_PAGES)?;
    }
    Ok(())
}

/// Continues what [`begin_merge`] began; false if nothing is left to merge.
pub(super) fn continue_merge(connection: &mut SqliteConnection) -> QueryResult<bool> {
    for index in all(connection)? {
        if merge(connection, &index, MERGED_PAGES)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Merges until about this number of pages is written; false if there was nothing to merge. A negative number begins a merge
/// of all segments.
fn merge(connection: &mut SqliteConnection, index: &str, pages: i64) -> QueryResult<bool> {
    let changes = sql::<BigInt>("total_changes()");
    let before: i64 = diesel::select(changes.clone()).get_result(connection)?;
    sql_query(format!(
        "INSERT INTO {index} ({index}, rank) VALUES ('merge', ?)"
    ))
    .bind::<BigInt, _>(pages)
    .execute(connection)?;
    let after: i64 = diesel::select(changes).get_result(connection)?;
    // The command itself counts as one change.
    Ok(after - before >= 2)
}
