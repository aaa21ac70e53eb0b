//! Keys.

use chrono::NaiveDate;
use diesel::{
    dsl::{count_star, sql},
    expression::SqlLiteral,
    prelude::*,
    sql_types::Bool,
};

use super::{
    Embedded, change_number,
    error::failed,
    rows::{app_id, millis, signed},
    schema::access_keys,
};
use crate::{
    domain::{AppId, Key, KeyId, Timestamp, key::EXPIRED_KEPT, time::from_millis},
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
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used: Option<String>,
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
            created_at: millis(key.created_at),
            expires_at: key.expires_at.map(millis),
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
        let last_used = self.last_used.as_deref().map(str::parse::<NaiveDate>);
        Ok(StoredKey {
            key: Key {
                id,
                app: self.app.as_deref().map(app_id).transpose()?,
                name: self.name,
                read_only: self.read_only,
                created_at: from_millis(self.created_at),
                expires_at: self.expires_at.map(from_millis),
                last_used: last_used.transpose().map_err(|_| corrupt("last_used"))?,
            },
            hash,
            signing_secret: secret.map_err(|_| corrupt("signing_secret"))?,
            is_revoked: self.revoked_at.is_some(),
        })
    }
}

/// Error of a column that holds anything else than it should.
pub(super) fn corrupt(column: &str) -> Error {
    failed(format!("the column {column} of a key holds none"))
}

/// Condition of known keys: neither revoked, nor expired for long.
pub(super) fn known(now: Timestamp) -> SqlLiteral<Bool> {
    let since = millis(now - EXPIRED_KEPT);
    sql(&format!(
        "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {since})"
    ))
}

/// Reads a known key of the application, or of any if `app` is `None`.
fn known_key(
    connection: &mut SqliteConnection,
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
    query.first(connection).optional()
}

fn count_known(
    connection: &mut SqliteConnection,
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
    let count: i64 = query.first(connection)?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Looks for a key with the ID of a new one.
fn find_key(
    connection: &mut SqliteConnection,
    stored: &StoredKey,
) -> QueryResult<Option<KeyCreation>> {
    let row: Option<KeyRow> = access_keys::table
        .find(stored.key.id.to_string())
        .select(KeyRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(|row| stored.compare(&row.hash, row.revoked_at.is_some())))
}

fn insert_key(
    connection: &mut SqliteConnection,
    stored: &StoredKey,
    limits: KeyLimits,
) -> QueryResult<KeyCreation> {
    // First, so that no other change comes between the check of the limits and the row.
    let number = change_number::next(connection)?;
    if let Some(found) = find_key(connection, stored)? {
        return Ok(found);
    }
    let now = stored.key.created_at;
    if count_known(connection, None, now)? >= limits.total {
        return Ok(KeyCreation::Full(limits.total));
    }
    if let Some(app) = stored.key.app
        && count_known(connection, Some(app), now)? >= limits.per_application
    {
        return Ok(KeyCreation::Full(limits.per_application));
    }
    diesel::insert_into(access_keys::table)
        .values(KeyRow::new(stored, number))
        .execute(connection)?;
    Ok(KeyCreation::Created)
}

impl Embedded {
    pub(crate) async fn create_key(
        &self,
        key: &StoredKey,
        limits: KeyLimits,
    ) -> Result<KeyCreation> {
        let call = call!("records", "create_key");
        // A repeated call takes no number, and needs no right to write.
        let new = key.clone();
        let find = move |connection: &mut SqliteConnection| Ok(find_key(connection, &new)?);
        if let Some(found) = self.readers.run(call, find).await? {
            return Ok(found);
        }
        let key = key.clone();
        let create = move |connection: &mut SqliteConnection| insert_key(connection, &key, limits);
        self.change_credentials(call, create).await
    }

    pub(crate) async fn keys(
        &self,
        KeyPage { app, after, limit }: KeyPage,
        now: Timestamp,
    ) -> Result<Vec<Key>> {
        let read = move |connection: &mut SqliteConnection| {
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
            let rows: Vec<KeyRow> = query.load(connection)?;
            let keys = rows.into_iter().map(|row| Ok(row.read()?.key));
            keys.collect()
        };
        self.readers.run(call!("records", "keys"), read).await
    }

    pub(crate) async fn expire_key(
        &self,
        id: KeyId,
        app: Option<AppId>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Key>> {
        let expire = move |connection: &mut SqliteConnection| {
            let number = change_number::next(connection)?;
            if known_key(connection, id, app, now)?.is_none() {
                return Ok(None);
            }
            diesel::update(access_keys::table.find(id.to_string()))
                .set((
                    access_keys::expires_at.eq(expires_at.map(millis)),
                    access_keys::change_number.eq(number),
                ))
                .execute(connection)?;
            // Its end may be so early that it is no longer known.
            let row = access_keys::table
                .find(id.to_string())
                .select(KeyRow::as_select());
            row.first(connection).optional()
        };
        let call = call!("records", "expire_key");
        let row: Option<KeyRow> = self.change_credentials(call, expire).await?;
        row.map(|row| Ok(row.read()?.key)).transpose()
    }

    pub(crate) async fn revoke_key(
        &self,
        id: KeyId,
        app: Option<AppId>,
        now: Timestamp,
    ) -> Result<bool> {
        let revoke = move |connection: &mut SqliteConnection| {
            let number = change_number::next(connection)?;
            if known_key(connection, id, app, now)?.is_none() {
                return Ok(false);
            }
            diesel::update(access_keys::table.find(id.to_string()))
                .set((
                    access_keys::revoked_at.eq(Some(millis(now))),
                    access_keys::signing_secret.eq(None::<Vec<u8>>),
                    access_keys::change_number.eq(number),
                ))
                .execute(connection)?;
            Ok(true)
        };
        self.change_credentials(call!("records", "revoke_key"), revoke)
            .await
    }

    pub(crate) async fn record_key_uses(&self, keys: &[KeyId], now: Timestamp) -> Result<()> {
        let day = now.date_naive().to_string();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let record = move |connection: &mut SqliteConnection| {
            for key in keys {
                diesel::update(access_keys::table.find(key))
                    .filter(
                        access_keys::last_used
                            .is_null()
                            .or(access_keys::last_used.lt(&day)),
                    )
                    .set(access_keys::last_used.eq(Some(&day)))
                    .execute(connection)?;
            }
            Ok(())
        };
        self.change_credentials(call!("records", "record_key_uses"), record)
            .await
    }
}
