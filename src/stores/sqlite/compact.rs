//! Removing what the file still holds of deleted texts.
//!
//! SQLite overwrites deleted content (`secure_delete`). Three things remain: the words of deleted messages in the full text, which
//! FTS5 removes when it merges its segments; copies in the unused parts of pages; and old pages in the log, which a checkpoint
//! removes. A compaction merges all segments, overwrites the unused parts of all pages, each in bounded steps, then truncates
//! the log. It rewrites the full text and reads the whole file, so it begins at most once a day.

use diesel::{
    connection::SimpleConnection as _, dsl::max, prelude::*, sql_query, sql_types::Integer,
};

use super::{
    Embedded, QueueSettings,
    error::Outcome,
    fts_erase,
    schema::{compaction, deletions},
    scrub,
};
use crate::stores::{Result, call::call};

/// Minimum time between the beginnings of two compactions, in milliseconds.
const INTERVAL: i64 = 24 * 60 * 60 * 1000;

/// What the next step of a compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is nothing to do.
    None,
    /// A step was done.
    Worked,
    /// Only the log is left, which is to be truncated.
    Truncate,
}

impl Embedded {
    /// Does one step of a compaction if one is due; false if not, or if it waits for readers.
    pub(super) async fn compact(&self) -> Result<bool> {
        let queue = self.queue;
        let step = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| step(connection, &queue))
        };
        let call = call!("records", "compact");
        match self.writer.run(call, step).await? {
            Step::None => Ok(false),
            Step::Worked => Ok(true),
            Step::Truncate => {
                let timeout = self.file.timeout.as_millis();
                let finish = move |connection: &mut SqliteConnection| {
                    let truncated = truncate_log(connection, timeout)?;
                    if truncated {
                        finish(connection)?;
                    }
                    Ok(truncated)
                };
                self.writer.run(call, finish).await
            }
        }
    }
}

/// Row of the compaction.
#[derive(Queryable)]
struct State {
    /// What is compacted, as an ID in the log of deletions.
    done: i64,
    /// What the compaction under way is for.
    target: Option<i64>,
    began_at: Option<i64>,
    /// The last page whose unused part was overwritten; 0 before the segments are merged.
    page: i64,
}

fn state(connection: &mut SqliteConnection) -> QueryResult<State> {
    let columns = (
        compaction::deletions,
        compaction::target,
        compaction::began_at,
        compaction::page,
    );
    compaction::table.select(columns).first(connection)
}

/// Returns the last deletion if a compaction is to begin for it.
fn next_target(
    connection: &mut SqliteConnection,
    state: &State,
    now: i64,
) -> QueryResult<Option<i64>> {
    let last: Option<i64> = deletions::table
        .select(max(deletions::id))
        .first(connection)?;
    // False also if the clock was set back.
    let is_early = |began: i64| (began..began + INTERVAL).contains(&now);
    let is_early = state.began_at.is_some_and(is_early);
    Ok(last.filter(|last| *last > state.done && !is_early))
}

/// Tells whether a compaction is under way or to begin.
pub(super) fn is_due(connection: &mut SqliteConnection, now: i64) -> QueryResult<bool> {
    let state = state(connection)?;
    Ok(state.target.is_some() || next_target(connection, &state, now)?.is_some())
}

/// Begins a compaction if one is due, or continues the one that has begun.
fn step(connection: &mut SqliteConnection, queue: &QueueSettings) -> Outcome<Step> {
    let state = state(connection)?;
    if state.target.is_some() {
        if state.page == 0 && fts_erase::continue_merge(connection)? {
            return Ok(Step::Worked);
        }
        let Some(page) = scrub::step(connection, state.page)? else {
            return Ok(Step::Truncate);
        };
        diesel::update(compaction::table)
            .set(compaction::page.eq(page))
            .execute(connection)?;
        return Ok(Step::Worked);
    }
    let now = queue.clock.now();
    let Some(target) = next_target(connection, &state, now)? else {
        return Ok(Step::None);
    };
    diesel::update(compaction::table)
        .set((
            compaction::target.eq(Some(target)),
            compaction::began_at.eq(Some(now)),
            compaction::page.eq(0),
        ))
        .execute(connection)?;
    fts_erase::begin_merge(connection)?;
    Ok(Step::Worked)
}

/// Moves the content of the log into the file and empties the log; false if a reader still needs it. It does not wait for
/// readers, because nobody could write meanwhile.
fn truncate_log(connection: &mut SqliteConnection, timeout: u128) -> Outcome<bool> {
    #[derive(QueryableByName)]
    struct Checkpoint {
        #[diesel(sql_type = Integer)]
        busy: i32,
    }
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    let checkpoint =
        sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(connection);
    connection.batch_execute(&format!("PRAGMA busy_timeout = {timeout}"))?;
    Ok(checkpoint?.busy == 0)
}

/// Ends a compaction.
fn finish(connection: &mut SqliteConnection) -> QueryResult<()> {
    sql_query("UPDATE compaction SET deletions = target, target = NULL").execute(connection)?;
    Ok(())
}
