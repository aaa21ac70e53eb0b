//! Claiming jobs, and taking back what dead claimers held.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};

use super::{
    Embedded,
    error::Outcome,
    job_admin::is_paused,
    rows::{signed, unsigned},
    schema::leases,
};
use crate::{
    domain::{Kind, Revision},
    stores::{Batch, ClaimLimits, Lease, Recovered, Result, call::call, payload},
};

/// Maximum size of a batch here: the transaction that stores it takes about 20 ms, which bounds the wait of accepts.
const JOBS: usize = 400;
const BYTES: usize = 128 << 10;

/// Maximum number of leases that one call recovers; the next call continues.
const RECOVER_LEASES: i64 = 100;

#[derive(QueryableByName)]
struct Claimed {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    tries: i64,
    #[diesel(sql_type = Text)]
    payload: String,
}

/// Kind of a lease's jobs, which is the same for all of them.
#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Text)]
    kind: String,
}

impl Embedded {
    pub(crate) async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>> {
        let (claimer, limits, clock) = (self.claimer.clone(), *limits, self.queue.clock);
        let claim = move |connection: &mut SqliteConnection| {
            claim(connection, &claimer, kind, &limits, clock.now())
        };
        self.writer.run(call!("queue", "claim"), claim).await
    }

    /// The process that serves the file takes back what any
    /// other run of the program held: none of them lives.
    pub async fn recover(&self) -> Result<Vec<Recovered>> {
        let (claimer, exclusive) = (self.claimer.clone(), self.exclusive.get().is_some());
        let now = self.queue.clock.now();
        let recover =
            move |connection: &mut SqliteConnection| recover(connection, &claimer, exclusive, now);
        self.writer.run(call!("queue", "recover"), recover).await
    }
}

/// Leases the oldest waiting jobs of a kind.
fn claim(
    connection: &mut SqliteConnection,
    claimer: &str,
    kind: Kind,
    limits: &ClaimLimits,
    now: i64,
) -> Outcome<Option<Batch>> {
    connection.immediate_transaction(|connection| {
        if is_paused(connection, kind)? {
            return Ok(None);
        }
        // The states are written out: a partial index is not used for what is bound.
        sql_query(
            "UPDATE jobs SET state = 'waiting', due = NULL WHERE state = 'delayed' AND kind = ? AND due <= ?",
        )
        .bind::<Text, _>(kind.name())
        .bind::<BigInt, _>(now)
        .execute(connection)?;
        let claimed = take(connection, kind, limits)?;
        let Some(last) = claimed.last() else {
            return Ok(None);
        };
        let token = format!("{:032x}", rand::random::<u128>());
        diesel::insert_into(leases::table)
            .values((
                leases::token.eq(&token),
                leases::claimer.eq(claimer),
                leases::until.eq(now.saturating_add(time(limits.lease))),
            ))
            .execute(connection)?;
        // These are all that wait from the first to the last of them: one that is to be claimed alone is claimed first.
        sql_query(
            "UPDATE jobs SET state = 'leased', lease = ? WHERE state = 'waiting' AND kind = ? AND id BETWEEN ? AND ?",
        )
        .bind::<Text, _>(&token)
        .bind::<Text, _>(kind.name())
        .bind::<BigInt, _>(claimed[0].id)
        .bind::<BigInt, _>(last.id)
        .execute(connection)?;
        let jobs = claimed.into_iter().map(|job| {
            let revision = Revision(unsigned(job.id));
            let tries = u32::try_from(job.tries).unwrap_or(u32::MAX);
            payload::job(revision, tries, &job.payload)
        });
        Ok(Some(Batch {
            jobs: jobs.collect(),
            lease: Lease {
                kind,
                token,
                epoch: None,
            },
        }))
    })
}

/// Selects the next jobs: one whose claimers crashed twice, else the oldest.
fn take(
    connection: &mut SqliteConnection,
    kind: Kind,
    limits: &ClaimLimits,
) -> QueryResult<Vec<Claimed>> {
    let isolated: Vec<Claimed> = sql_query(
        "SELECT id, tries, payload FROM jobs WHERE state = 'waiting' AND crashes >= 2 AND kind = ? \
         ORDER BY id LIMIT 1",
    )
    .bind::<Text, _>(kind.name())
    .load(connection)?;
    if !isolated.is_empty() {
        return Ok(isolated);
    }
    let waiting = sql_query(
        "SELECT id, tries, payload FROM jobs WHERE state = 'waiting' AND kind = ? ORDER BY id LIMIT ?",
    )
    .bind::<Text, _>(kind.name())
    .bind::<BigInt, _>(signed(limits.jobs.min(JOBS) as u64));
    let mut claimed = isolated;
    let mut capacity = limits.bytes.min(BYTES);
    // Read one by one: a thousand of the longest would be many megabytes.
    for job in waiting.load_iter::<Claimed, _>(connection)? {
        let job = job?;
        match capacity.checked_sub(job.payload.len()) {
            Some(left) => capacity = left,
            None if claimed.is_empty() => capacity = 0,
            None => break,
        }
        claimed.push(job);
    }
    Ok(claimed)
}

/// Returns jobs whose lease is over, and with `exclusive` those that any other run of the program holds.
fn recover(
    connection: &mut SqliteConnection,
    claimer: &str,
    exclusive: bool,
    now: i64,
) -> Outcome<Vec<Recovered>> {
    let dead = leases::claimer
        .ne(claimer)
        .and(exclusive.into_sql::<Bool>());
    let over = leases::until.le(now).or(dead);
    connection.immediate_transaction(|connection| {
        let tokens: Vec<String> = leases::table
            .filter(over)
            .select(leases::token)
            .limit(RECOVER_LEASES)
            .load(connection)?;
        let mut claims = Vec::with_capacity(tokens.len());
        for token in tokens {
            let kind: Option<Held> = sql_query("SELECT kind FROM jobs WHERE lease = ? LIMIT 1")
                .bind::<Text, _>(&token)
                .get_result(connection)
                .optional()?;
            let given_up = sql_query(
                "UPDATE jobs SET lease = NULL, crashes = crashes + 1, state = 'dead', due = ?, \
                 error = 'three claimers crashed while they held this job' \
                 WHERE lease = ? AND crashes >= 2",
            )
            .bind::<BigInt, _>(now)
            .bind::<Text, _>(&token)
            .execute(connection)?;
            let given_back = sql_query(
                "UPDATE jobs SET lease = NULL, crashes = crashes + 1, state = 'waiting' WHERE lease = ?",
            )
            .bind::<Text, _>(&token)
            .execute(connection)?;
            diesel::delete(leases::table.find(&token)).execute(connection)?;
            claims.extend(kind.and_then(|held| {
                Some(Recovered {
                    kind: Kind::from_name(&held.kind)?,
                    jobs: given_up + given_back,
                    dead: given_up,
                })
            }));
        }
        Ok(Recovered::sum(claims))
    })
}

/// Converts a duration to milliseconds.
pub(super) fn time(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
