//! Changes of credentials, and revocations of users.

use diesel::{dsl::count_star, prelude::*, sql_query, sql_types::BigInt};

use super::{
    Embedded,
    access_keys::{KeyRow, known},
    change_number,
    error::Outcome,
    rows::{app_id, millis, signed, unsigned},
    schema::{access_keys, user_revocations},
};
use crate::{
    domain::Timestamp,
    stores::{CredentialChanges, PRUNED, Result, UserRevocation, call::call},
};

impl Embedded {
    pub(crate) async fn credential_changes(
        &self,
        since: Option<u64>,
        now: Timestamp,
        kept_since: i64,
    ) -> Result<CredentialChanges> {
        let read =
            move |connection: &mut SqliteConnection| changes(connection, since, now, kept_since);
        let call = call!("records", "credential_changes");
        self.readers.run(call, read).await
    }

    pub(crate) async fn revoke_user(
        &self,
        revocation: &UserRevocation,
        limit: usize,
        kept_since: i64,
    ) -> Result<Option<i64>> {
        let revocation = revocation.clone();
        let revoke = move |connection: &mut SqliteConnection| {
            insert_revocation(connection, &revocation, limit, kept_since)
        };
        let call = call!("records", "revoke_user");
        self.change_credentials(call, revoke).await
    }

    pub(crate) async fn prune_revocations(&self, kept_since: i64) -> Result<usize> {
        let prune = move |connection: &mut SqliteConnection| {
            sql_query(
                "DELETE FROM user_revocations WHERE (app, user) IN \
                 (SELECT app, user FROM user_revocations WHERE issued_until < ? LIMIT ?)",
            )
            .bind::<BigInt, _>(kept_since)
            .bind::<BigInt, _>(signed(PRUNED as u64))
            .execute(connection)
        };
        let call = call!("records", "prune_revocations");
        self.change_credentials(call, prune).await
    }
}

fn changes(
    connection: &mut SqliteConnection,
    since: Option<u64>,
    now: Timestamp,
    kept_since: i64,
) -> Outcome<CredentialChanges> {
    let number = change_number::current(connection)?;
    let after = since.map(signed).filter(|after| *after <= number);
    let mut changes = CredentialChanges {
        number: unsigned(number),
        is_everything: after.is_none(),
        keys: Vec::new(),
        revocations: Vec::new(),
    };
    if after == Some(number) {
        return Ok(changes);
    }
    let mut keys = access_keys::table.select(KeyRow::as_select()).into_boxed();
    let mut users = user_revocations::table
        .select((
            user_revocations::app,
            user_revocations::user,
            user_revocations::issued_until,
        ))
        .filter(user_revocations::issued_until.ge(kept_since))
        .into_boxed();
    if let Some(after) = after {
        keys = keys.filter(access_keys::change_number.gt(after));
        users = users.filter(user_revocations::change_number.gt(after));
    } else {
        keys = keys.filter(known(now));
    }
    let keys: Vec<KeyRow> = keys.load(connection)?;
    let users: Vec<(String, String, i64)> = users.load(connection)?;
    let keys = keys.into_iter().map(KeyRow::read);
    changes.keys = keys.collect::<Result<_>>()?;
    let users = users.into_iter().map(|(app, user, issued_until)| {
        Ok(UserRevocation {
            app: app_id(&app)?,
            user,
            issued_until,
        })
    });
    changes.revocations = users.collect::<Result<_>>()?;
    Ok(changes)
}

/// Stores a revocation and returns the second up to which it holds; `None` beyond the limit.
fn insert_revocation(
    connection: &mut SqliteConnection,
    revocation: &UserRevocation,
    limit: usize,
    kept_since: i64,
) -> QueryResult<Option<i64>> {
    let number = change_number::next(connection)?;
    let app = revocation.app.to_string();
    let earlier: Option<i64> = user_revocations::table
        .find((&app, &revocation.user))
        .select(user_revocations::issued_until)
        .first(connection)
        .optional()?;
    if earlier.is_none() {
        let others: i64 = user_revocations::table
            .filter(user_revocations::app.eq(&app))
            .filter(user_revocations::issued_until.ge(kept_since))
            .select(count_star())
            .first(connection)?;
        if others >= signed(limit as u64) {
            return Ok(None);
        }
    }
    let until = revocation.until(earlier);
    diesel::replace_into(user_revocations::table)
        .values((
            user_revocations::app.eq(&app),
            user_revocations::user.eq(&revocation.user),
            user_revocations::issued_until.eq(until),
            user_revocations::change_number.eq(number),
        ))
        .execute(connection)?;
    Ok(Some(until))
}

/// Revokes all keys of an application.
pub(super) fn revoke_keys(
    connection: &mut SqliteConnection,
    app: &str,
    at: Timestamp,
) -> QueryResult<()> {
    let number = change_number::next(connection)?;
    let keys = access_keys::table
        .filter(access_keys::app.eq(app))
        .filter(access_keys::revoked_at.is_null());
    diesel::update(keys)
        .set((
            access_keys::revoked_at.eq(Some(millis(at))),
            access_keys::signing_secret.eq(None::<Vec<u8>>),
            access_keys::change_number.eq(number),
        ))
        .execute(connection)?;
    Ok(())
}
