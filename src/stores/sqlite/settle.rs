//! What becomes of claimed jobs. Nothing, if the lease is over: another claimer has them then.

use std::fmt::Write as _;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{error::Outcome, rows::signed, schema::leases};
use crate::{
    domain::{Job, Revision},
    stores::{Error, Lease},
};

/// Starts the lease's time anew.
pub(super) fn extend(connection: &mut SqliteConnection, lease: &Lease, until: i64) -> Outcome<()> {
    let extended = diesel::update(leases::table.find(&lease.token))
        .set(leases::until.eq(until))
        .execute(connection)?;
    held(extended)
}

/// Forgets jobs that are stored.
pub(super) fn acknowledge(
    connection: &mut SqliteConnection,
    lease: &Lease,
    jobs: &[Revision],
) -> Outcome<()> {
    let mut ids = String::new();
    for id in jobs {
        let comma = if ids.is_empty() { "" } else { "," };
        // Writing into a string never fails.
        let _ = write!(ids, "{comma}{}", id.0);
    }
    connection.immediate_transaction(|connection| {
        stands(connection, lease)?;
        // What is older is superseded: if it were still found, it would be read as the newest that is not stored.
        sql_query(format!(
            "UPDATE jobs SET superseded = 1 WHERE superseded = 0 AND id IN (\
             SELECT older.id FROM jobs done CROSS JOIN jobs older \
             ON older.app = done.app AND older.chat = done.chat AND older.number = done.number \
             WHERE done.id IN ({ids}) AND done.lease = ? AND older.id < done.id)"
        ))
        .bind::<Text, _>(&lease.token)
        .execute(connection)?;
        sql_query(format!(
            "DELETE FROM jobs WHERE id IN ({ids}) AND lease = ?"
        ))
        .bind::<Text, _>(&lease.token)
        .execute(connection)?;
        end_if_empty(connection, lease)
    })
}

/// A job failed by its own fault: tries it again at `due`, or with `None` keeps it with the dead letters.
pub(super) fn fail(
    connection: &mut SqliteConnection,
    lease: &Lease,
    job: Revision,
    error: &str,
    due: Option<i64>,
    now: i64,
) -> Outcome<()> {
    connection.immediate_transaction(|connection| {
        let failed = sql_query(
            "UPDATE jobs SET lease = NULL, state = ?, due = ?, tries = tries + 1, error = ? \
             WHERE id = ? AND lease = ? AND EXISTS (SELECT 1 FROM leases WHERE token = lease)",
        )
        .bind::<Text, _>(if due.is_some() { "delayed" } else { "dead" })
        .bind::<Nullable<BigInt>, _>(due.or(Some(now)))
        .bind::<Text, _>(error)
        .bind::<BigInt, _>(signed(job.0))
        .bind::<Text, _>(&lease.token)
        .execute(connection)?;
        held(failed)?;
        end_if_empty(connection, lease)
    })
}

/// Gives back what the lease still holds, nobody's fault.
pub(super) fn release(connection: &mut SqliteConnection, lease: &Lease) -> Outcome<()> {
    connection.immediate_transaction(|connection| {
        held(diesel::delete(leases::table.find(&lease.token)).execute(connection)?)?;
        sql_query("UPDATE jobs SET state = 'waiting', lease = NULL WHERE lease = ?")
            .bind::<Text, _>(&lease.token)
            .execute(connection)?;
        Ok(())
    })
}

/// The jobs that an acknowledgement is about: who could not read one has not stored it.
pub(super) fn stored(jobs: &[Job]) -> Vec<Revision> {
    let readable = jobs.iter().filter(|job| job.entry.is_ok());
    readable.map(|job| job.revision).collect()
}

fn stands(connection: &mut SqliteConnection, lease: &Lease) -> Outcome<()> {
    let lease = leases::table.find(&lease.token);
    held(lease.count().get_result::<i64>(connection)? as usize)
}

fn held(rows: usize) -> Outcome<()> {
    if rows == 0 {
        return Err(Error::Fenced("its lease is over".into()).into());
    }
    Ok(())
}

fn end_if_empty(connection: &mut SqliteConnection, lease: &Lease) -> Outcome<()> {
    sql_query(
        "DELETE FROM leases WHERE token = ? AND NOT EXISTS (SELECT 1 FROM jobs WHERE lease = token)",
    )
    .bind::<Text, _>(&lease.token)
    .execute(connection)?;
    Ok(())
}
