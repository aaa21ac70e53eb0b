//! State of erasures.

use chrono::NaiveDateTime;
use diesel::{
    dsl::exists,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Binary, Nullable, Text, Timestamp as Time},
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    pool::Connection,
    rows::{app_id, signed, unsigned},
    schema::{erasures, state},
};
use crate::{
    domain::{AppId, Revision, Timestamp},
    stores::{Erasure, Error, Result, call::call},
};

/// Columns of an erasure.
const COLUMNS: &str =
    "id, app, chat, user, until_revision, position, erased, requested_at, finished_at";

/// An erasure that is not finished, and where it continues.
pub(crate) struct UnfinishedErasure {
    /// The erasure.
    pub erasure: Erasure,
    /// Last write that was accepted before the request. Later messages of a sender are kept.
    pub until: Revision,
    /// Position at which the erasure continues; empty before the first step.
    pub position: String,
}

#[derive(QueryableByName)]
struct ErasureRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    app: String,
    #[diesel(sql_type = BigInt)]
    chat: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    user: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    until_revision: i64,
    #[diesel(sql_type = Text)]
    position: String,
    #[diesel(sql_type = BigInt)]
    erased: i64,
    #[diesel(sql_type = Time)]
    requested_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<Time>)]
    finished_at: Option<NaiveDateTime>,
}

impl ErasureRow {
    fn read(self) -> Result<UnfinishedErasure> {
        let user = self.user.map(String::from_utf8).transpose();
        Ok(UnfinishedErasure {
            erasure: Erasure {
                id: unsigned(self.id),
                app: app_id(&self.app)?,
                chat: Some(unsigned(self.chat)).filter(|chat| *chat > 0),
                user: user.map_err(|_| Error::Failed {
                    store: "MySQL",
                    detail: format!("the user of erasure {} is no text", self.id),
                })?,
                erased: unsigned(self.erased),
                requested_at: self.requested_at.and_utc(),
                finished_at: self.finished_at.map(|time| time.and_utc()),
            },
            until: Revision(unsigned(self.until_revision)),
            position: self.position,
        })
    }
}

impl Mysql {
    /// Requests the erasure of a sender's messages that were accepted until `until`, which was the last write at `now`.
    pub async fn request_erasure(
        &self,
        app: AppId,
        user: &str,
        until: Revision,
        now: Timestamp,
    ) -> Result<u64> {
        let request = async |connection: &mut Connection| {
            sql_query("INSERT INTO erasures (app, chat, user, until_revision, requested_at) VALUES (?, 0, ?, ?, ?)")
                .bind::<Text, _>(app.to_string())
                .bind::<Binary, _>(user.as_bytes())
                .bind::<BigInt, _>(signed(until.0))
                .bind::<Time, _>(now.naive_utc())
                .execute(connection)
                .await?;
            let id = diesel::select(diesel::dsl::sql::<BigInt>(
                "CAST(LAST_INSERT_ID() AS SIGNED)",
            ));
            id.get_result::<i64>(connection).await
        };
        let request = self.pool.transaction(request);
        let id = call!("records", "request_erasure").timed(request).await?;
        Ok(unsigned(id))
    }

    /// The oldest erasure that is not finished.
    pub(crate) async fn unfinished_erasure(&self) -> Result<Option<UnfinishedErasure>> {
        let query =
            format!("SELECT {COLUMNS} FROM erasures WHERE finished_at IS NULL ORDER BY id LIMIT 1");
        Ok(self.load_erasures(query).await?.pop())
    }

    pub(crate) async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        let unfinished = format!(
            "SELECT {COLUMNS} FROM erasures WHERE finished_at IS NULL ORDER BY id LIMIT {limit}"
        );
        let mut all = self.load_erasures(unfinished).await?;
        let finished = format!(
            "SELECT {COLUMNS} FROM erasures WHERE finished_at IS NOT NULL ORDER BY finished_at DESC, id DESC LIMIT {}",
            limit - all.len()
        );
        all.extend(self.load_erasures(finished).await?);
        Ok(all.into_iter().map(|one| one.erasure).collect())
    }

    pub(crate) async fn is_erasure_finished(&self, id: u64) -> Result<bool> {
        let read = async |connection: &mut Connection| {
            let unfinished = erasures::table
                .filter(erasures::id.eq(signed(id)))
                .filter(erasures::finished_at.is_null());
            let unfinished = diesel::select(exists(unfinished));
            unfinished.get_result::<bool>(connection).await
        };
        let unfinished = self.pool.read(call!("records", "erasure"), read);
        unfinished.await.map(|unfinished| !unfinished)
    }

    async fn load_erasures(&self, query: String) -> Result<Vec<UnfinishedErasure>> {
        let read = async |connection: &mut Connection| {
            sql_query(&query).load::<ErasureRow>(connection).await
        };
        let rows = self.pool.read(call!("records", "erasures"), read).await?;
        rows.into_iter().map(ErasureRow::read).collect()
    }

    /// Waits for all store transactions that may not know of what is deleted by now: those that began before a deletion
    /// inserted the row of its chat or application. Later ones wait meanwhile.
    pub async fn wait_for_store_transactions(&self) -> Result<()> {
        let wait = async |connection: &mut Connection| {
            let epoch = state::table.select(state::epoch).for_update();
            epoch.first::<i64>(connection).await
        };
        let wait = self.pool.transaction(wait);
        call!("records", "wait_for_store_transactions")
            .timed(wait)
            .await
            .map(drop)
    }

    /// Keeps where an erasure continues, and that it erased more messages.
    pub async fn advance_erasure(&self, id: u64, position: &str, erased: u64) -> Result<()> {
        let write =
            async |connection: &mut Connection| advance(connection, id, position, erased).await;
        let write = self.pool.write(write);
        call!("records", "advance_erasure").timed(write).await
    }

    /// Ends an erasure.
    pub async fn finish_erasure(&self, id: u64) -> Result<()> {
        let write = async |connection: &mut Connection| {
            let update = sql_query(
                "UPDATE erasures SET position = '', finished_at = UTC_TIMESTAMP(3) WHERE id = ? AND finished_at IS NULL",
            );
            update
                .bind::<BigInt, _>(signed(id))
                .execute(connection)
                .await
        };
        let write = self.pool.write(write);
        call!("records", "finish_erasure")
            .timed(write)
            .await
            .map(drop)
    }
}

/// Keeps the progress of an erasure, as a part of a transaction.
pub(super) async fn advance(
    connection: &mut Connection,
    id: u64,
    position: &str,
    erased: u64,
) -> QueryResult<()> {
    sql_query("UPDATE erasures SET position = ?, erased = erased + ? WHERE id = ?")
        .bind::<Text, _>(position)
        .bind::<BigInt, _>(signed(erased))
        .bind::<BigInt, _>(signed(id))
        .execute(connection)
        .await
        .map(drop)
}
