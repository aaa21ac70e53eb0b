//! Changes of credentials, and revocations of users.

use diesel::{dsl::count_star, prelude::*, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use super::{
    Mysql,
    access_keys::{KeyRow, corrupt, known},
    change_number,
    pool::Connection,
    rows::{app_id, signed, unsigned},
    schema::{access_keys, user_revocations},
};
use crate::{
    domain::{Application, Timestamp},
    stores::{CredentialChanges, PRUNED, RELOAD_TIME_LIMIT, Result, UserRevocation, call::call},
};

impl Mysql {
    pub(crate) async fn credential_changes(
        &self,
        since: Option<u64>,
        now: Timestamp,
        kept_since: i64,
    ) -> Result<CredentialChanges> {
        let read = async |connection: &mut Connection| {
            // First: what is committed later is read again from this number on.
            let number = change_number::current(connection).await?;
            let after = since.map(signed).filter(|after| *after <= number);
            let keys = access_keys::table.select(KeyRow::as_select()).into_boxed();
            let users = user_revocations::table
                .select((
                    user_revocations::app,
                    user_revocations::user,
                    user_revocations::issued_until,
                ))
                .filter(user_revocations::issued_until.ge(kept_since))
                .into_boxed();
            let (keys, users) = match after {
                Some(after) if after == number => {
                    return Ok((number, true, Vec::new(), Vec::new()));
                }
                Some(after) => (
                    keys.filter(access_keys::change_number.gt(after)),
                    users.filter(user_revocations::change_number.gt(after)),
                ),
                None => (keys.filter(known(now)), users),
            };
            let keys: Vec<KeyRow> = keys.load(connection).await?;
            let users: Vec<(String, Vec<u8>, i64)> = users.load(connection).await?;
            Ok::<_, diesel::result::Error>((number, after.is_some(), keys, users))
        };
        let call = call!("records", "credential_changes");
        let limit = match since {
            Some(_) => self.pool.timeout,
            None => RELOAD_TIME_LIMIT,
        };
        let (number, is_part, keys, users) = self.pool.read_within(limit, call, read).await?;
        let users = users.into_iter().map(|(app, user, issued_until)| {
            Ok(UserRevocation {
                app: app_id(&app)?,
                user: String::from_utf8(user).map_err(|_| corrupt("user"))?,
                issued_until,
            })
        });
        Ok(CredentialChanges {
            number: unsigned(number),
            is_everything: !is_part,
            keys: keys.into_iter().map(KeyRow::read).collect::<Result<_>>()?,
            revocations: users.collect::<Result<_>>()?,
        })
    }

    pub(crate) async fn revoke_user(
        &self,
        revocation: &UserRevocation,
        limit: usize,
        kept_since: i64,
    ) -> Result<Option<i64>> {
        let (app, user) = (revocation.app.to_string(), revocation.user.as_bytes());
        let revoke = async |connection: &mut Connection| {
            let number = change_number::next(connection).await?;
            let earlier: Option<i64> = user_revocations::table
                .find((&app, user))
                .select(user_revocations::issued_until)
                .first(connection)
                .await
                .optional()?;
            if earlier.is_none() {
                let others: i64 = user_revocations::table
                    .filter(user_revocations::app.eq(&app))
                    .filter(user_revocations::issued_until.ge(kept_since))
                    .select(count_star())
                    .first(connection)
                    .await?;
                if others >= signed(limit as u64) {
                    return Ok(None);
                }
            }
            let until = revocation.until(earlier);
            diesel::replace_into(user_revocations::table)
                .values((
                    user_revocations::app.eq(&app),
                    user_revocations::user.eq(user),
                    user_revocations::issued_until.eq(until),
                    user_revocations::change_number.eq(number),
                ))
                .execute(connection)
                .await?;
            Ok(Some(until))
        };
        call!("records", "revoke_user")
            .timed(self.pool.transaction(revoke))
            .await
    }

    pub(crate) async fn prune_revocations(&self, kept_since: i64) -> Result<usize> {
        let prune = async |connection: &mut Connection| {
            diesel::sql_query("DELETE FROM user_revocations WHERE issued_until < ? LIMIT ?")
                .bind::<BigInt, _>(kept_since)
                .bind::<BigInt, _>(signed(PRUNED as u64))
                .execute(connection)
                .await
        };
        call!("records", "prune_revocations")
            .timed(self.pool.write(prune))
            .await
    }
}

/// Revokes all keys of deleted applications, as a part of a transaction.
pub(super) async fn revoke_keys_of(
    connection: &mut Connection,
    deleted: &[&Application],
) -> QueryResult<()> {
    let number = change_number::next(connection).await?;
    for application in deleted {
        diesel::update(access_keys::table)
            .filter(access_keys::app.eq(application.id.to_string()))
            .filter(access_keys::revoked_at.is_null())
            .set((
                access_keys::revoked_at.eq(application.deleted_at.map(|time| time.naive_utc())),
                access_keys::signing_secret.eq(None::<Vec<u8>>),
                access_keys::change_number.eq(number),
            ))
            .execute(connection)
            .await?;
    }
    Ok(())
}
