//! The epoch and the format of the stores.

use diesel::{prelude::*, sql_query, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    build::BuildRow,
    pool::Connection,
    rows::{signed, unsigned},
    schema::{history, index_build, state},
};
use crate::{
    domain::Revision,
    stores::{Error, Result, call::call, format::FORMAT},
};

/// Result of a query for the existence of a column.
#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    found: bool,
}

impl Mysql {
    /// Begins a new epoch, above `at_least` and every earlier one, unless the rows have another format. Afterwards no batch
    /// that was claimed before can be stored. An `at_least` above the current epoch means that the database was restored from
    /// a backup: then the same transaction requests a new search index.
    ///
    /// The epoch continues the history if no epoch after that of `kept`, the last revision that the queue has kept, has begun.
    pub async fn raise_epoch(&self, at_least: u64, kept: Option<Revision>) -> Result<u64> {
        let at_least = signed(at_least);
        let mark: i64 = rand::random_range(1..=i64::MAX);
        let raise = async |connection: &mut Connection| {
            // The row's lock waits for the store transactions that are under way, and those that come wait for it.
            let (current, format): (i64, i64) = state::table
                .select((state::epoch, state::format))
                .for_update()
                .first(connection)
                .await?;
            if format != signed(FORMAT) {
                return Ok((0, format));
            }
            if at_least > current {
                diesel::replace_into(index_build::table)
                    .values(BuildRow::new(""))
                    .execute(connection)
                    .await?;
            }
            let epoch = current.max(at_least) + 1;
            diesel::update(state::table)
                .set(state::epoch.eq(epoch))
                .execute(connection)
                .await?;
            let begun = history::table.filter(history::begun).select(history::epoch);
            let begun: Option<i64> = begun
                .order(history::epoch.desc())
                .first(connection)
                .await
                .optional()?;
            let kept = kept.filter(|kept| {
                let of = signed(kept.epoch());
                Some(of) >= begun && of <= current
            });
            diesel::replace_into(history::table)
                .values((
                    history::epoch.eq(epoch),
                    history::mark.eq(mark),
                    history::start.eq(kept.map_or(0, |kept| signed(kept.0))),
                    history::continues.eq(kept.is_some()),
                    history::begun.eq(false),
                ))
                .execute(connection)
                .await?;
            Ok((epoch, format))
        };
        let (epoch, format) = self.pool.transaction(raise).await?;
        self.pool.format.check(unsigned(format))?;
        Ok(unsigned(epoch))
    }

    /// Notes that an epoch has begun in Redis, before anything is accepted in it.
    pub async fn note_begun(&self, epoch: u64) -> Result<()> {
        let part = history::table
            .find(signed(epoch))
            .filter(history::begun.eq(false));
        let note = async |connection: &mut Connection| {
            diesel::update(part)
                .set(history::begun.eq(true))
                .execute(connection)
                .await
        };
        let note = self.pool.write(note);
        call!("records", "note_begun").timed(note).await.map(drop)
    }

    /// The current epoch. Also checks the format of the rows: while a newer program's is found, all calls but this one
    /// fail.
    pub async fn epoch(&self) -> Result<u64> {
        let read = async |connection: &mut Connection| {
            let state = state::table.select((state::epoch, state::format));
            state.first::<(i64, i64)>(connection).await
        };
        let read = self.pool.read_any_format(call!("records", "epoch"), read);
        let (epoch, format) = read.await?;
        self.pool.format.check(unsigned(format))?;
        Ok(unsigned(epoch))
    }

    /// Checks that the rows have no newer format. They have none before the migration that introduced formats.
    pub async fn refuse_newer(&self) -> Result<()> {
        let read = async |connection: &mut Connection| {
            let has_format = "SELECT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() \
                              AND table_name = 'state' AND column_name = 'format') AS found";
            let has_format: Exists = sql_query(has_format).get_result(connection).await?;
            match has_format.found {
                true => state::table.select(state::format).first(connection).await,
                false => Ok(0),
            }
        };
        let read = self.pool.read_any_format(call!("records", "format"), read);
        match self.pool.format.check(unsigned(read.await?)) {
            Err(error @ Error::Newer { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells whether MySQL is reachable, has its tables and accepts writes. A server that is read-only, or a user that may
    /// not write, refuses also a statement that changes no row.
    pub async fn probe(&self) -> Result<()> {
        let call = call!("records", "ping");
        let write = async |connection: &mut Connection| {
            let update = sql_query("UPDATE state SET format = format WHERE FALSE");
            update.execute(connection).await
        };
        self.pool.read(call, write).await.map(drop)
    }
}
