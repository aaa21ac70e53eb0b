//! The search index that is being built, and how far that has come.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    pool::Connection,
    rows::{signed, unsigned},
    schema::{index_build, index_build_progress},
};
use crate::{
    domain::MessageKey,
    stores::{Build, Result, call::call},
};

/// The one row of `index_build`.
const ONLY: i64 = 1;

/// Target that is being filled; empty if a build is only requested.
#[derive(Insertable)]
#[diesel(table_name = index_build)]
pub(super) struct BuildRow<'a> {
    id: i64,
    target: &'a str,
}

impl<'a> BuildRow<'a> {
    pub fn new(target: &'a str) -> Self {
        Self { id: ONLY, target }
    }
}

impl Mysql {
    pub(crate) async fn build(&self) -> Result<Option<Build>> {
        let read = async |connection: &mut Connection| {
            let query = index_build::table
                .left_join(index_build_progress::table)
                .select((
                    index_build::target,
                    index_build_progress::last_message.nullable(),
                    index_build_progress::done.nullable(),
                ));
            query.first(connection).await.optional()
        };
        let found: Option<(String, Option<String>, Option<i64>)> =
            self.pool.read(call!("records", "build"), read).await?;
        Ok(found.map(|(target, last, done)| {
            Build::read(target, last.as_deref(), done.map_or(0, unsigned))
        }))
    }

    /// The index that a rebuild is filling.
    pub async fn build_target(&self) -> Result<Option<String>> {
        Ok(match self.build().await? {
            Some(Build::Filling { target, .. }) => Some(target),
            Some(Build::Wanted) | None => None,
        })
    }

    /// Begins to fill `target`, instead of whatever was being filled: from now on the outbox names it.
    pub async fn begin_build(&self, target: &str) -> Result<()> {
        let write = self.write_build(target);
        call!("records", "begin_build").timed(write).await
    }

    /// Requests a new index that is built from the rows only.
    pub async fn want_build(&self) -> Result<()> {
        let write = self.write_build("");
        call!("records", "want_build").timed(write).await
    }

    async fn write_build(&self, target: &str) -> Result<()> {
        let write = async |connection: &mut Connection| {
            let replace = diesel::replace_into(index_build::table).values(BuildRow::new(target));
            replace.execute(connection).await?;
            // Nothing reads the cursors of others: this is but housekeeping.
            let others =
                index_build_progress::table.filter(index_build_progress::target.ne(target));
            diesel::delete(others).execute(connection).await
        };
        self.pool.write(write).await.map(drop)
    }

    /// One statement, so that no progress is written for a target that is no longer being filled.
    pub async fn advance_build(&self, target: &str, last: MessageKey, done: u64) -> Result<bool> {
        let write = async |connection: &mut Connection| {
            let replace = sql_query(
                "REPLACE INTO index_build_progress (target, last_message, done) \
                 SELECT target, ?, ? FROM index_build WHERE target = ?",
            )
            .bind::<Text, _>(last.to_string())
            .bind::<BigInt, _>(signed(done))
            .bind::<Text, _>(target);
            replace.execute(connection).await
        };
        let write = self.pool.write(write);
        let written = call!("records", "advance_build").timed(write).await?;
        Ok(written > 0)
    }

    /// Ends the build of `target`, if that is what is being filled.
    pub async fn end_build(&self, target: &str) -> Result<()> {
        let write = async |connection: &mut Connection| {
            let delete = diesel::delete(index_build::table.filter(index_build::target.eq(target)));
            delete.execute(connection).await?;
            let delete = diesel::delete(index_build_progress::table.find(target));
            delete.execute(connection).await
        };
        let write = self.pool.write(write);
        call!("records", "end_build").timed(write).await.map(drop)
    }
}
