//! Settling of claimed jobs. After the lease expired, nothing changes: another claimer has the jobs.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};

use super::{Embedded, claim, error::Outcome, rows::signed, schema::leases};
use crate::{
    domain::{Action, Job},
    stores::{Error, Lease, Result, call::call},
};

impl Embedded {
    pub(crate) async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        let lease = lease.clone();
        let until = self.queue.clock.now().saturating_add(claim::time(time));
        let extend = move |connection: &mut SqliteConnection| {
            let extended = diesel::update(leases::table.find(&lease.token))
                .set(leases::until.eq(until))
                .execute(connection)?;
            held(extended)
        };
        self.writer.run(call!("queue", "extend"), extend).await
    }

    /// A job that could not be read is not stored.
    pub(crate) async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()> {
        let readable = jobs.iter().filter(|job| job.change.is_ok());
        let ids: Vec<String> = readable.map(|job| job.revision.0.to_string()).collect();
        let (lease, ids) = (lease.clone(), ids.join(","));
        let acknowledge = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| acknowledge(connection, &lease, &ids))
        };
        self.writer
            .run(call!("queue", "acknowledge"), acknowledge)
            .await
    }

    pub(crate) async fn fail(
        &self,
        lease: &Lease,
        job: &Job,
        error: &str,
        retry_after: Option<Duration>,
    ) -> Result<()> {
        let (lease, job, error) = (lease.clone(), job.revision, error.to_owned());
        let now = self.queue.clock.now();
        let due = retry_after.map(|after| now.saturating_add(claim::time(after)));
        let fail = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                let failed = sql_query(
                    "UPDATE jobs SET lease = NULL, state = ?, due = ?, tries = tries + 1, error = ? \
                     WHERE id = ? AND lease = ? AND EXISTS (SELECT 1 FROM leases WHERE token = lease)",
                )
                .bind::<Text, _>(if due.is_some() { "delayed" } else { "dead" })
                .bind::<BigInt, _>(due.unwrap_or(now))
                .bind::<Text, _>(error)
                .bind::<BigInt, _>(signed(job.0))
                .bind::<Text, _>(&lease.token)
                .execute(connection)?;
                held(failed)?;
                end_if_empty(connection, &lease)
            })
        };
        self.writer.run(call!("queue", "fail"), fail).await
    }

    pub(crate) async fn release(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        let release = move |connection: &mut SqliteConnection| {
            connection.immediate_transaction(|connection| {
                held(diesel::delete(leases::table.find(&lease.token)).execute(connection)?)?;
                sql_query("UPDATE jobs SET state = 'waiting', lease = NULL WHERE lease = ?")
                    .bind::<Text, _>(&lease.token)
                    .execute(connection)?;
                Ok(())
            })
        };
        self.writer.run(call!("queue", "release"), release).await
    }
}

/// Removes jobs that are stored; `ids` are separated by commas.
fn acknowledge(connection: &mut SqliteConnection, lease: &Lease, ids: &str) -> Outcome<()> {
    check_lease(connection, lease)?;
    // What is older is superseded: if it were still found, it would be read as the newest that is not stored.
    sql_query(format!(
        "UPDATE jobs SET superseded = 1 WHERE superseded = 0 AND id IN (\
         SELECT older.id FROM jobs done CROSS JOIN jobs older \
         ON older.app = done.app AND older.chat = done.chat AND older.number = done.number \
         WHERE done.id IN ({ids}) AND done.lease = ? AND older.id < done.id)"
    ))
    .bind::<Text, _>(&lease.token)
    .execute(connection)?;
    if lease.kind.action() == Action::Delete {
        // Nobody can do anything with failed writes to what is deleted, and they hold its content.
        sql_query(format!(
            "DELETE FROM jobs WHERE state IN ('dead', 'delayed') AND id IN (\
             SELECT other.id FROM jobs done CROSS JOIN jobs other \
             ON other.app = done.app AND other.chat = done.chat AND other.number = done.number \
             WHERE done.id IN ({ids}) AND done.lease = ?)"
        ))
        .bind::<Text, _>(&lease.token)
        .execute(connection)?;
    }
    sql_query(format!(
        "DELETE FROM jobs WHERE id IN ({ids}) AND lease = ?"
    ))
    .bind::<Text, _>(&lease.token)
    .execute(connection)?;
    end_if_empty(connection, lease)
}

/// Makes sure that a lease is not over.
pub(super) fn check_lease(connection: &mut SqliteConnection, lease: &Lease) -> Outcome<()> {
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
