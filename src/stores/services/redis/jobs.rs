//! Claiming and settling jobs, each step by its script.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use super::{Redis, connection::ConnectionClass, read_id, scripts::ScriptCall};
use crate::{
    domain::{Job, Kind, Target},
    stores::{Batch, ClaimLimits, Lease, Recovered, Result, call::call, payload},
};

/// Maximum number of leases that one call of [`Redis::recover`] returns; the next call continues.
const RECOVER_LEASES: usize = 100;

/// Workers' calls: the megabytes of a claim must not delay a request.
const CLASS: ConnectionClass = ConnectionClass::Pool;

fn name(lease: &Lease) -> String {
    format!("{}:{}", lease.kind.name(), lease.token)
}

/// The key under which a job is found while it is not stored.
fn found_by(Target { app, chat, number }: Target) -> String {
    match (chat, number) {
        (0, 0) => format!("app:{app}"),
        (0, _) => format!("pending:{app}"),
        (chat, _) => format!("pending:{app}:{chat}"),
    }
}

impl Redis {
    pub(crate) async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>> {
        let token = self.claim_token(kind);
        let mut command = ScriptCall::new(|scripts| &scripts.claim);
        command.arg(kind.name()).arg(&token).arg(limits.jobs);
        command.arg(limits.bytes).arg(millis(limits.lease));
        let claim = self.call(call!("queue", "claim"), CLASS, &command);
        let response = match claim.await {
            Err(error) if error.is_outage() => {
                self.unanswered().push((kind, token));
                return Err(error);
            }
            response => response?,
        };
        let Some((epoch, claimed)) = response.split_first().filter(|(_, jobs)| !jobs.is_empty())
        else {
            return Ok(None);
        };
        let jobs = claimed.chunks_exact(3).map(|job| {
            let tries = job[1].parse().unwrap_or_default();
            Ok(payload::job(read_id(&job[0])?, tries, &job[2]))
        });
        // An epoch that cannot be read fences the batch.
        let epoch = Some(epoch.parse().unwrap_or_default());
        Ok(Some(Batch {
            lease: Lease { kind, token, epoch },
            jobs: jobs.collect::<Result<_>>()?,
        }))
    }

    /// Returns the token of a claim that got no response, or a new one. Repeating such a claim returns the jobs that it
    /// may have claimed: otherwise they would wait for the end of the lease, and count as those of a crashed claimer.
    fn claim_token(&self, kind: Kind) -> String {
        let mut unanswered = self.unanswered();
        match unanswered.iter().position(|claim| claim.0 == kind) {
            Some(position) => unanswered.swap_remove(position).1,
            None => format!("{:032x}", rand::random::<u128>()),
        }
    }

    /// Locks the tokens of claims without response. No code panics under this lock, so poisoning is ignored.
    fn unanswered(&self) -> MutexGuard<'_, Vec<(Kind, String)>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        let mut command = ScriptCall::new(|scripts| &scripts.extend);
        command.arg(name(lease)).arg(millis(time));
        let extend = self.call(call!("queue", "extend"), CLASS, &command);
        extend.await.map(drop)
    }

    /// A job that could not be read is not stored.
    pub async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()> {
        let mut command = ScriptCall::new(|scripts| &scripts.acknowledge);
        command.arg(name(lease));
        for job in jobs {
            let Ok(change) = &job.change else { continue };
            let target = change.target();
            command.arg(job.revision.to_string());
            command.arg(found_by(target)).arg(target.number);
            let key = job
                .idempotency
                .map(|key| format!("key:{}", key.id.to_hex()));
            command.arg(key.unwrap_or_default());
        }
        let acknowledge = self.call(call!("queue", "acknowledge"), CLASS, &command);
        acknowledge.await.map(drop)
    }

    pub(crate) async fn fail(
        &self,
        lease: &Lease,
        job: &Job,
        error: &str,
        retry_after: Option<Duration>,
    ) -> Result<()> {
        let mut command = ScriptCall::new(|scripts| &scripts.fail);
        command.arg(name(lease)).arg(lease.kind.name());
        command.arg(job.revision.to_string()).arg(error);
        command.arg(retry_after.map_or(-1, millis));
        let fail = self.call(call!("queue", "fail"), CLASS, &command);
        fail.await.map(drop)
    }

    pub(crate) async fn release(&self, lease: &Lease) -> Result<()> {
        let mut command = ScriptCall::new(|scripts| &scripts.release);
        command.arg(name(lease)).arg(lease.kind.name());
        let release = self.call(call!("queue", "release"), CLASS, &command);
        release.await.map(drop)
    }

    /// Recovers expired leases. Begins an epoch first if Redis or the database lost data, even if no request does.
    pub async fn recover(&self) -> Result<Vec<Recovered>> {
        self.check_epoch().await?;
        let mut command = ScriptCall::new(|scripts| &scripts.recover);
        command.arg(RECOVER_LEASES);
        let recover = self.call(call!("queue", "recover"), CLASS, &command);
        let response = recover.await?;
        let claims = response.chunks_exact(3).filter_map(|claim| {
            Some(Recovered {
                kind: Kind::from_name(&claim[0])?,
                jobs: claim[1].parse().unwrap_or_default(),
                dead: claim[2].parse().unwrap_or_default(),
            })
        });
        Ok(Recovered::sum(claims))
    }

    /// Checks that a write would be accepted and kept.
    pub(crate) async fn probe(&self) -> Result<()> {
        let mut command = ScriptCall::new(|scripts| &scripts.capacity);
        command
            .arg(self.settings.queue_depth)
            .arg(self.settings.dead_letters);
        let probe = async {
            self.check_server().await?;
            self.run(ConnectionClass::Shared, &command).await.map(drop)
        };
        call!("queue", "ping").timed(probe).await
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
