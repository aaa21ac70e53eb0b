//! Keys.

use chrono::{NaiveDate, NaiveDateTime};
use diesel::{
    dsl::{count_star, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;

use super::{
    Mysql, change_number,
    pool::Connection,
    rows::{app_id, signed},
    schema::access_keys,
};
use crate::{
    domain::{AppId, Key, KeyId, Timestamp, key::EXPIRED_KEPT},
    stores::{Error, KeyCreation, KeyLimits, KeyPage, Result, StoredKey, call::call},
};

/// A row of `access_keys`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = access_keys)]
pub(super) struct KeyRow {
    id: String,
    app: Option<String>,
    name: String,
    read_only: bool,
    hash: Vec<u8>,
    signing_secret: Option<Vec<u8>>,
    created_at: NaiveDateTime,
    expires_at: Option<NaiveDateTime>,
    revoked_at: Option<NaiveDateTime>,
    last_used: Option<NaiveDate>,
    change_number: i64,
}

impl KeyRow {
    /// The row of a new key.
    fn new(stored: &StoredKey, change_number: i64) -> Self {
        let StoredKey {
            key,
            hash,
            signing_secret,
            ..
        } = stored;
        Self {
            id: key.id.to_string(),
            app: key.app.map(|app| app.to_string()),
            name: key.name.clone(),
            read_only: key.read_only,
            hash: hash.to_vec(),
            signing_secret: signing_secret.map(|secret| secret.to_vec()),
            created_at: key.created_at.naive_utc(),
            expires_at: key.expires_at.map(|end| end.naive_utc()),
            revoked_at: None,
            last_used: None,
            change_number,
        }
    }

    /// The key.
    pub(super) fn read(self) -> Result<StoredKey> {
        let id = KeyId::parse(&self.id).ok_or_else(|| corrupt("id"))?;
        let hash = self.hash.try_into().map_err(|_| corrupt("hash"))?;
        let secret = self.signing_secret.map(TryInto::try_into).transpose();
        Ok(StoredKey {
            key: Key {
                id,
                app: self.app.as_deref().map(app_id).transpose()?,
                name: self.name,
                read_only: self.read_only,
                created_at: self.created_at.and_utc(),
                expires_at: self.expires_at.map(|end| end.and_utc()),
                last_used: self.last_used,
            },
            hash,
            signing_secret: secret.map_err(|_| corrupt("signing_secret"))?,
            is_revoked: self.revoked_at.is_some(),
        })
    }
}

/// Error of a column that holds anything else than it should.
pub(super) fn corrupt(column: &str) -> Error {
    Error::Failed {
        store: "MySQL",
        detail: format!("the column {column} of a key holds none"),
    }
}

/// Condition of known keys: neither revoked, nor expired for long.
pub(super) fn known(now: Timestamp) -> SqlLiteral<Bool> {
    let since = (now - EXPIRED_KEPT).format("%Y-%m-%d %H:%M:%S%.3f");
    sql(&format!(
        "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > '{since}')"
    ))
}

/// Reads a known key of the application, or of any if `app` is `None`.
async fn known_key(
    connection: &mut Connection,
    id: KeyId,
    app: Option<AppId>,
    now: Timestamp,
) -> QueryResult<Option<KeyRow>> {
    let mut query = access_keys::table
        .find(id.to_string())
        .filter(known(now))
        .select(KeyRow::as_select())
        .into_boxed();
    if let Some(app) = app {
        query = query.filter(access_keys::app.eq(app.to_string()));
    }
    query.first(connection).await.optional()
}

async fn count_known(
    connection: &mut Connection,
    app: Option<AppId>,
    now: Timestamp,
) -> QueryResult<usize> {
    let mut query = access_keys::table
        .filter(known(now))
        .select(count_star())
        .into_boxed();
    if let Some(app) = app {
        query = query.filter(access_keys::app.eq(app.to_string()));
    }
    let count: i64 = query.first(connection).await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Looks for a key with the ID of a new one.
async fn find_key(
    connection: &mut Connection,
    stored: &StoredKey,
) -> QueryResult<Option<KeyCreation>> {
    let row: Option<KeyRow> = access_keys::table
        .find(stored.key.id.to_string())
        .select(KeyRow::as_select())
        .first(connection)
        .await
        .optional()?;
    Ok(row.map(|row| stored.compare(&row.hash, row.revoked_at.is_some())))
}

async fn insert_key(
    connection: &mut Connection,
    stored: &StoredKey,
    limits: KeyLimits,
) -> QueryResult<KeyCreation> {
    // First, so that no other change comes between the check of the limits and the row.
    let number = change_number::next(connection).await?;
    if let Some(found) = find_key(connection, stored).await? {
        return Ok(found);
    }
    let now = stored.key.created_at;
    if count_known(connection, None, now).await? >= limits.total {
        return Ok(KeyCreation::Full(limits.total));
    }
    if let Some(app) = stored.key.app
        && count_known(connection, Some(app), now).await? >= limits.per_application
    {
        return Ok(KeyCreation::Full(limits.per_application));
    }
    diesel::insert_into(access_keys::table)
        .values(KeyRow::new(stored, number))
        .execute(connection)
        .await?;
    Ok(KeyCreation::Created)
}

impl Mysql {
    pub(crate) async fn create_key(
        &self,
        key: &StoredKey,
        limits: KeyLimits,
    ) -> Result<KeyCreation> {
        let call = call!("records", "create_key");
        // A repeated call takes no number, and needs no right to write.
        let find = async |connection: &mut Connection| find_key(connection, key).await;
        if let Some(found) = self.pool.read(call, find).await? {
            return Ok(found);
        }
        let create = async |connection: &mut Connection| insert_key(connection, key, limits).await;
        call.timed(self.pool.transaction(create)).await
    }

    pub(crate) async fn keys(
        &self,
        KeyPage { app, after, limit }: KeyPage,
        now: Timestamp,
    ) -> Result<Vec<Key>> {
        let read = async |connection: &mut Connection| {
            let mut query = access_keys::table
                .filter(known(now))
                .select(KeyRow::as_select())
                .order((access_keys::created_at, access_keys::id))
                .limit(signed(limit as u64))
                .into_boxed();
            if let Some(app) = app {
                query = query.filter(access_keys::app.eq(app.to_string()));
            }
            if let Some(after) = after {
                query = query.filter(sql::<Bool>(&format!(
                    "(created_at, id) > (SELECT created_at, id FROM access_keys WHERE id = '{after}')"
                )));
            }
            query.load::<KeyRow>(connection).await
        };
        let rows = self.pool.read(call!("records", "keys"), read).await?;
        let keys = rows.into_iter().map(|row| Ok(row.read()?.key));
        keys.collect()
    }

    pub(crate) async fn expire_key(
        &self,
        id: KeyId,
        app: Option<AppId>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Key>> {
        let expire = async |connection: &mut Connection| {
            let number = change_number::next(connection).await?;
            if known_key(connection, id, app, now).await?.is_none() {
                return Ok(None);
            }
            diesel::update(access_keys::table.find(id.to_string()))
                .set((
                    access_keys::expires_at.eq(expires_at.map(|end| end.naive_utc())),
                    access_keys::change_number.eq(number),
                ))
                .execute(connection)
                .await?;
            // Its end may be so early that it is no longer known.
            let row = access_keys::table
                .find(id.to_string())
                .select(KeyRow::as_select());
            row.first(connection).await.optional()
        };
        let expired = call!("records", "expire_key").timed(self.pool.transaction(expire));
        let row = expired.await?;
        row.map(|row| Ok(row.read()?.key)).transpose()
    }

    pub(crate) async fn revoke_key(
        &self,
        id: KeyId,
        app: Option<AppId>,
        now: Timestamp,
    ) -> Result<bool> {
        let revoke = async |connection: &mut Connection| {
            let number = change_number::next(connection).await?;
            if known_key(connection, id, app, now).await?.is_none() {
                return Ok(false);
            }
            diesel::update(access_keys::table.find(id.to_string()))
                .set((
                    access_keys::revoked_at.eq(Some(now.naive_utc())),
                    access_keys::signing_secret.eq(None::<Vec<u8>>),
                    access_keys::change_number.eq(number),
                ))
                .execute(connection)
                .await?;
            Ok(true)
        };
        call!("records", "revoke_key")
            .timed(self.pool.transaction(revoke))
            .await
    }

    pub(crate) async fn record_key_uses(&self, keys: &[KeyId], now: Timestamp) -> Result<()> {
        let day = now.date_naive();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let record = async |connection: &mut Connection| {
            diesel::update(access_keys::table)
                .filter(access_keys::id.eq_any(&keys))
                .filter(
                    access_keys::last_used
                        .is_null()
                        .or(access_keys::last_used.lt(day)),
                )
                .set(access_keys::last_used.eq(Some(day)))
                .execute(connection)
                .await
        };
        call!("records", "record_key_uses")
            .timed(self.pool.write(record))
            .await
            .map(drop)
    }
}
