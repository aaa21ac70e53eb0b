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
        Result,
        call::{Call, call},
    },
};

impl Mysql {
    /// Begins a new epoch, above `at_least` and every earlier one. Afterwards no batch that was claimed before can be
    /// stored. An `at_least` above the current epoch means that the database was restored from a backup: then the same
    /// transaction requests a new search index.
    pub async fn raise_epoch(&self, at_least: u64) -> Result<u64> {
        let at_least = signed(at_least);
        let raise = async |connection: &mut Connection| {
            // The row's lock waits for the store transactions that are under way, and those that come wait for it.
            let current: i64 = state::table
                .select(state::epoch)
                .for_update()
                .first(connection)
                .await?;
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
            Ok(unsigned(epoch))
        };
        self.pool.transaction(raise).await
    }

    /// The epoch that stands.
    pub async fn epoch(&self) -> Result<u64> {
        let read = async |connection: &mut Connection| {
            let epoch = state::table.select(state::epoch);
            epoch.first::<i64>(connection).await
        };
        let read = self.pool.read(call!("records", "epoch"), read);
        read.await.map(unsigned)
    }

    /// Tells whether MySQL is reachable, has its tables and accepts writes. A server that is read-only, or a user that may
    /// not write, refuses also a statement that changes no row.
    pub async fn probe(&self) -> Result<()> {
        let call = call!("records", "ping");
        let write = async |connection: &mut Connection| {
            let update = sql_query("UPDATE state SET epoch = epoch WHERE FALSE");
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
        #[derive(QueryableByName)]
        struct Highest {
            #[diesel(sql_type = Bool)]
            found: bool,
            #[diesel(sql_type = BigInt)]
            highest: i64,
        }
        let read = async |connection: &mut Connection| {
            sql_query(&query).get_result::<Highest>(connection).await
        };
        let row = self.pool.read(call, read).await?;
        Ok((row.found || row.highest > 0).then(|| unsigned(row.highest)))
    }
}
