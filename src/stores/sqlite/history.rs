//! The parts of the history: a new one for each start of the program.
//!
//! A backup that is restored, or a copy of the file, holds the parts until it was made. What is accepted after its next start
//! belongs to a part of its own, so cursors show which of the two lines of history they come from.

use diesel::prelude::*;

use super::{
    Embedded,
    error::{Outcome, failed},
    rows::{signed, unsigned},
    schema::{history, state},
};
use crate::{
    domain::{Cursor, HistoryMark, HistoryPart, Revision},
    stores::{Result, call::call},
};

impl Embedded {
    /// Begins a part of the history.
    pub async fn begin_history(&self) -> Result<()> {
        let mark: i64 = rand::random_range(1..=i64::MAX);
        let begin = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let start: i64 = state::table.select(state::revision).first(connection)?;
                diesel::insert_into(history::table)
                    .values((history::mark.eq(mark), history::start.eq(start)))
                    .execute(connection)?;
                Ok(())
            })
        };
        self.writer
            .run(call!("records", "begin_history"), begin)
            .await
    }
}

/// The last revision given out.
pub(super) fn last_revision(connection: &mut SqliteConnection) -> QueryResult<Revision> {
    let revision: i64 = state::table.select(state::revision).first(connection)?;
    Ok(Revision(unsigned(revision)))
}

/// Gives out a revision for a change that needs no job.
pub(super) fn next_revision(connection: &mut SqliteConnection) -> QueryResult<i64> {
    diesel::update(state::table)
        .set(state::revision.eq(state::revision + 1))
        .returning(state::revision)
        .get_result(connection)
}

/// The mark of the present part.
pub(super) fn current_mark(connection: &mut SqliteConnection) -> Outcome<HistoryMark> {
    let mark: Option<i64> = history::table
        .order(history::number.desc())
        .select(history::mark)
        .first(connection)
        .optional()?;
    let mark = mark
        .ok_or_else(|| failed("the history has no part: it begins with the start of a server"))?;
    Ok(HistoryMark(unsigned(mark)))
}

/// Tells whether everything that was seen with a cursor is still part of the history.
pub(super) fn is_valid(
    connection: &mut SqliteConnection,
    cursor: &Cursor,
    last: Revision,
) -> QueryResult<bool> {
    let own = history::table
        .filter(history::mark.eq(signed(cursor.mark.0)))
        .select(history::number);
    let Some(own) = own.first::<i64>(connection).optional()? else {
        return Ok(false);
    };
    // The next part decides, as every later one begins with more.
    let next = history::table
        .filter(history::number.gt(own))
        .order(history::number)
        .select(history::start);
    let next: Option<i64> = next.first(connection).optional()?;
    let part = HistoryPart {
        kept: next.map(|start| Revision(unsigned(start))),
        continues: true,
    };
    Ok(cursor.is_valid(&part, last))
}
