//! The epoch and the highest stored numbers. A queue that lost its data reads them to avoid duplicates.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    build::BuildRow,
    pool::Connection,
    rows::{signed, unsigned},
    schema::{index_build, state},
};
use crate::{
    domain::{AppId, ChatKey, Number},
    stores::{
        Error, Result,
        call::{Call, call},
        format::FORMAT,
    },
};

/// Whether something exists, and the highest number in it.
#[derive(QueryableByName)]
struct Highest {
    #[diesel(sql_type = Bool)]
    found: bool,
    #[diesel(sql_type = BigInt)]
    highest: i64,
}

impl Mysql {
    /// Begins a new epoch, above `at_least` and every earlier one, unless the rows have another format. Afterwards no batch that was claimed before can be
    /// stored. An `at_least` above the current epoch means that the database was restored from a backup: then the same
    /// transaction requests a new search index.
    pub async fn raise_epoch(&self, at_least: u64) -> Result<u64> {
        let at_least = signed(at_least);
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
            Ok((epoch, format))
        };
        let (epoch, format) = self.pool.transaction(raise).await?;
        self.pool.format.check(unsigned(format))?;
        Ok(unsigned(epoch))
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
                              AND table_name = 'state' AND column_name = 'format') AS found, 0 AS highest";
            let has_format: Highest = sql_query(has_format).get_result(connection).await?;
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

    /// The highest stored chat number of an application, 0 if none; `None` if there is no such application. A chat whose
    /// creation was lost with Redis may have messages: its number must not go to another chat.
    pub async fn highest_chat(&self, app: AppId) -> Result<Option<Number>> {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM applications WHERE id = '{app}') AS found, \
             GREATEST(COALESCE((SELECT MAX(number) FROM chats WHERE app = '{app}'), 0), \
             COALESCE((SELECT MAX(chat) FROM messages WHERE app = '{app}'), 0)) AS highest"
        );
        self.highest(call!("records", "highest_chat"), query).await
    }

    /// The highest stored message number of a chat, 0 if none; `None` if there is no such chat.
    pub async fn highest_message(
        &self,
        ChatKey { app, number }: ChatKey,
    ) -> Result<Option<Number>> {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM chats WHERE app = '{app}' AND number = {number}) AS found, \
             COALESCE((SELECT MAX(number) FROM messages WHERE app = '{app}' AND chat = {number}), 0) AS highest"
        );
        self.highest(call!("records", "highest_message"), query)
            .await
    }

    async fn highest(&self, call: &Call, query: String) -> Result<Option<Number>> {
        let read = async |connection: &mut Connection| {
            sql_query(&query).get_result::<Highest>(connection).await
        };
        let row = self.pool.read(call, read).await?;
        Ok((row.found || row.highest > 0).then(|| unsigned(row.highest)))
    }
}
