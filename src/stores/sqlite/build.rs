//! The search index that is being built, and how far that has come.

use diesel::prelude::*;

use super::{
    error::Outcome,
    rows::{signed, unsigned},
    schema::{index_build, search_indexes},
    words,
};
use crate::{domain::MessageKey, stores::Build};

/// The one row of `index_build`.
const ONLY: i64 = 1;

pub(super) fn read(connection: &mut SqliteConnection) -> Outcome<Option<Build>> {
    let found: Option<(String, Option<String>, i64)> = index_build::table
        .select((
            index_build::target,
            index_build::last_message,
            index_build::done,
        ))
        .first(connection)
        .optional()?;
    Ok(found.map(|(target, last, done)| Build::read(target, last.as_deref(), unsigned(done))))
}

/// Sets what is being filled; nothing if it is only wanted. The index in use is whole: it is not filled.
pub(super) fn begin(connection: &mut SqliteConnection, target: Option<&str>) -> Outcome<()> {
    connection.immediate_transaction(|connection| {
        let name = match target {
            Some(target) => words::named(connection, Some(target))?,
            None => String::new(),
        };
        clear(connection)?;
        if words::current(connection)?.as_deref() != Some(&*name) {
            diesel::update(search_indexes::table.find(&name))
                .set(search_indexes::role.eq("building"))
                .execute(connection)?;
        }
        diesel::insert_into(index_build::table)
            .values((index_build::id.eq(ONLY), index_build::target.eq(name)))
            .execute(connection)?;
        Ok(())
    })
}

pub(super) fn advance(
    connection: &mut SqliteConnection,
    target: &str,
    last: MessageKey,
    done: u64,
) -> Outcome<bool> {
    let updated = diesel::update(index_build::table.filter(index_build::target.eq(target)))
        .set((
            index_build::last_message.eq(last.to_string()),
            index_build::done.eq(signed(done)),
        ))
        .execute(connection)?;
    Ok(updated > 0)
}

pub(super) fn end(connection: &mut SqliteConnection, target: &str) -> Outcome<()> {
    connection.immediate_transaction(|connection| {
        let filling: Option<String> = index_build::table
            .select(index_build::target)
            .first(connection)
            .optional()?;
        if filling.as_deref() == Some(target) {
            clear(connection)?;
        }
        Ok(())
    })
}

fn clear(connection: &mut SqliteConnection) -> QueryResult<()> {
    let building = search_indexes::table.filter(search_indexes::role.eq("building"));
    diesel::update(building)
        .set(search_indexes::role.eq(None::<String>))
        .execute(connection)?;
    diesel::delete(index_build::table).execute(connection)?;
    Ok(())
}
