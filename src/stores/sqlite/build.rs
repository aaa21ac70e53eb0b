//! Building of a second index, and the swap of indices, without interrupting reads and writes.

use diesel::{prelude::*, sql_query};

use super::{
    Embedded,
    error::Outcome,
    fts,
    rows::{signed, unsigned},
    schema::{index_build, search_indexes, state},
};
use crate::{
    domain::{MessageKey, Revision},
    stores::{Build, IndexState, Result, call::call},
};

/// The one row of `index_build`.
const ONLY: i64 = 1;

/// Names of indices begin with this; a number follows.
const NAME: &str = "words_";

impl Embedded {
    /// No index is outdated here: a migration that changes the index requests a new one.
    pub async fn index_state(&self) -> Result<IndexState> {
        let current = |connection: &mut SqliteConnection| Ok(fts::current(connection)?);
        let current = self.scans.run(call!("search", "current"), current).await?;
        Ok(current.map_or(IndexState::Missing, |_| IndexState::Current))
    }

    pub(crate) async fn build(&self) -> Result<Option<Build>> {
        let read = |connection: &mut SqliteConnection| {
            let found: Option<(String, Option<String>, i64)> = index_build::table
                .select((
                    index_build::target,
                    index_build::last_message,
                    index_build::done,
                ))
                .first(connection)
                .optional()?;
            Ok(found
                .map(|(target, last, done)| Build::read(target, last.as_deref(), unsigned(done))))
        };
        self.scans.run(call!("records", "build"), read).await
    }

    pub(crate) async fn begin_build(&self) -> Result<String> {
        let create = |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let name = create(connection)?;
                begin(connection, Some(&name))?;
                Ok(name)
            })
        };
        self.writer.run(call!("search", "create"), create).await
    }

    pub(crate) async fn can_resume_build(&self, target: &str) -> Result<bool> {
        let target = target.to_owned();
        let find = move |connection: &mut SqliteConnection| {
            let found = search_indexes::table.find(target).count();
            Ok(found.get_result::<i64>(connection)? > 0)
        };
        self.scans.run(call!("search", "fits"), find).await
    }

    pub(crate) async fn advance_build(
        &self,
        target: &str,
        last: MessageKey,
        done: u64,
    ) -> Result<bool> {
        let target = target.to_owned();
        let advance = move |connection: &mut SqliteConnection| {
            let updated = diesel::update(index_build::table.filter(index_build::target.eq(target)))
                .set((
                    index_build::last_message.eq(last.to_string()),
                    index_build::done.eq(signed(done)),
                ))
                .execute(connection)?;
            Ok(updated > 0)
        };
        let call = call!("records", "advance_build");
        self.writer.run(call, advance).await
    }

    pub(crate) async fn finish_build(&self, target: &str) -> Result<()> {
        let target = target.to_owned();
        let finish = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                swap(connection, &target)?;
                end(connection, &target)
            })
        };
        self.writer.run(call!("search", "swap"), finish).await
    }

    pub(crate) async fn abandon_build(&self, target: &str) -> Result<()> {
        let target = target.to_owned();
        let abandon = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| end(connection, &target))
        };
        self.writer
            .run(call!("records", "end_build"), abandon)
            .await
    }

    pub(crate) async fn set_back(&self, seen: Revision) -> Result<()> {
        let set_back = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let seen = signed(seen.0);
                diesel::update(state::table.filter(state::revision.lt(seen)))
                    .set(state::revision.eq(seen))
                    .execute(connection)?;
                begin(connection, None)
            })
        };
        self.writer
            .run(call!("queue", "raise_revisions"), set_back)
            .await
    }
}

/// Sets what is being filled; `None` if it is only wanted. The index in use is whole: it is not filled.
fn begin(connection: &mut SqliteConnection, target: Option<&str>) -> Outcome<()> {
    let name = target.unwrap_or_default();
    clear(connection)?;
    if fts::current(connection)?.as_deref() != Some(name) {
        diesel::update(search_indexes::table.find(name))
            .set(search_indexes::role.eq("building"))
            .execute(connection)?;
    }
    diesel::insert_into(index_build::table)
        .values((index_build::id.eq(ONLY), index_build::target.eq(name)))
        .execute(connection)?;
    Ok(())
}

fn end(connection: &mut SqliteConnection, target: &str) -> Outcome<()> {
    let filling: Option<String> = index_build::table
        .select(index_build::target)
        .first(connection)
        .optional()?;
    if filling.as_deref() == Some(target) {
        clear(connection)?;
    }
    Ok(())
}

fn clear(connection: &mut SqliteConnection) -> QueryResult<()> {
    let building = search_indexes::table.filter(search_indexes::role.eq("building"));
    diesel::update(building)
        .set(search_indexes::role.eq(None::<String>))
        .execute(connection)?;
    diesel::delete(index_build::table).execute(connection)?;
    Ok(())
}

fn create(connection: &mut SqliteConnection) -> Outcome<String> {
    let names: Vec<String> = search_indexes::table
        .select(search_indexes::name)
        .load(connection)?;
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_prefix(NAME)?.parse::<u64>().ok());
    let name = format!("{NAME}{}", numbers.max().unwrap_or(0) + 1);
    // As in the first migration.
    sql_query(format!(
        "CREATE VIRTUAL TABLE {name} USING fts5 (words, revision UNINDEXED, content = '', \
         contentless_delete = 1, contentless_unindexed = 1, tokenize = 'ascii')"
    ))
    .execute(connection)?;
    let role = fts::current(connection)?.is_none().then_some("current");
    diesel::insert_into(search_indexes::table)
        .values((
            search_indexes::name.eq(&name),
            search_indexes::role.eq(role),
        ))
        .execute(connection)?;
    Ok(name)
}

fn swap(connection: &mut SqliteConnection, name: &str) -> Outcome<()> {
    let name = fts::named(connection, Some(name))?;
    let others: Vec<String> = search_indexes::table
        .filter(search_indexes::name.ne(&name))
        .select(search_indexes::name)
        .load(connection)?;
    for other in &others {
        sql_query(format!("DROP TABLE {other}")).execute(connection)?;
        diesel::delete(search_indexes::table.find(other)).execute(connection)?;
    }
    diesel::update(search_indexes::table.find(&name))
        .set(search_indexes::role.eq("current"))
        .execute(connection)?;
    Ok(())
}
