//! The operator's view: listing jobs, and changing what becomes of one.
//!
//! A script may not hold Redis up, however long the queue is: ids are read in pages, and sorted out here.

use super::{Redis, connection::ConnectionClass, failed, read_id, scripts::ScriptCall};
use crate::{
    domain::{Kind, Revision, time::from_millis},
    stores::{
        JobInfo, JobState, KindStats, Result,
        call::{Call, call},
        payload::Head,
    },
};

/// Maximum number of IDs that one call reads.
const IDS: usize = 10_000;

/// Maximum number of jobs that one call reads. Each takes several lookups.
const INFOS: usize = 200;

/// Operators' calls: they must not delay a request.
const CLASS: ConnectionClass = ConnectionClass::Pool;

impl Redis {
    pub(crate) async fn stats(&self) -> Result<Vec<KindStats>> {
        let mut command = ScriptCall::new(|scripts| &scripts.stats);
        for kind in Kind::ALL {
            command.arg(kind.name());
        }
        let count = self.call(call!("queue", "stats"), CLASS, &command);
        let counts = count.await?;
        let counts: Vec<u64> = counts
            .iter()
            .map(|count| count.parse().unwrap_or_default())
            .collect();
        let stats = Kind::ALL.iter().zip(counts.chunks_exact(6));
        Ok(stats
            .map(|(kind, counts)| KindStats {
                kind: kind.name(),
                waiting: counts[0],
                leased: counts[1],
                delayed: counts[2],
                dead: counts[3],
                oldest_ms: counts[4],
                paused: counts[5] != 0,
            })
            .collect())
    }

    pub(crate) async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        let list = self.list(state, kind, after, limit);
        call!("queue", "jobs").timed(list).await
    }

    async fn list(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut ids = Vec::new();
        for key in self.keys(state, kind).await? {
            let mut found = self.ids(&key).await?;
            found.retain(|id| *id > after);
            ids.append(&mut found);
        }
        ids.sort_unstable();
        // One that moved meanwhile may have been met twice.
        ids.dedup();
        let mut jobs = Vec::new();
        for ids in ids.chunks(INFOS) {
            jobs.extend(self.infos(ids, false).await?.into_iter().filter(|job| {
                job.state == state && kind.is_none_or(|kind| job.kind == kind.name())
            }));
            if jobs.len() >= limit {
                jobs.truncate(limit);
                break;
            }
        }
        Ok(jobs)
    }

    /// The keys that hold jobs in a state, and maybe others.
    async fn keys(&self, state: JobState, kind: Option<Kind>) -> Result<Vec<String>> {
        let kinds = kind.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
        let names = kinds.iter().map(|kind| kind.name());
        Ok(match state {
            JobState::Waiting => names
                .flat_map(|name| [format!("queue:{name}"), format!("alone:{name}")])
                .collect(),
            JobState::Leased => {
                let leases = self.ids("leases").await?;
                leases.iter().map(|name| format!("lease:{name}")).collect()
            }
            JobState::Delayed => names.map(|name| format!("delayed:{name}")).collect(),
            JobState::Dead => vec!["dead".to_owned()],
        })
    }

    /// Returns all members of a list, sorted set or set.
    async fn ids(&self, key: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        loop {
            let from = ids.len();
            let mut command = ScriptCall::new(|scripts| &scripts.ids);
            command.arg(key).arg(from).arg(from + IDS - 1);
            let page = self.call(call!("queue", "ids"), CLASS, &command).await?;
            let is_last = page.len() != IDS;
            ids.extend(page);
            if is_last {
                return Ok(ids);
            }
        }
    }

    pub(crate) async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        Ok(self.infos(&[id.to_string()], true).await?.pop())
    }

    /// Each of these jobs that exists.
    async fn infos(&self, ids: &[String], whole: bool) -> Result<Vec<JobInfo>> {
        let mut command = ScriptCall::new(|scripts| &scripts.jobs);
        command.arg(u8::from(whole)).arg(ids);
        let read = self.call(call!("queue", "job"), CLASS, &command);
        let response = read.await?;
        let jobs = response.chunks_exact(7);
        jobs.map(|job| read_info(job, whole)).collect()
    }

    pub(crate) async fn retry(&self, id: Revision) -> Result<bool> {
        let mut command = ScriptCall::new(|scripts| &scripts.retry);
        command.arg(id.to_string());
        self.change(call!("queue", "retry"), &command).await
    }

    pub(crate) async fn discard(&self, id: Revision) -> Result<bool> {
        let mut command = ScriptCall::new(|scripts| &scripts.discard);
        command.arg(id.to_string());
        self.change(call!("queue", "kill"), &command).await
    }

    pub(crate) async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        let mut command = ScriptCall::new(|scripts| &scripts.pause);
        command.arg(kind.name()).arg(u8::from(paused));
        self.change(call!("queue", "set_paused"), &command)
            .await
            .map(drop)
    }

    /// Runs a script that changes one job or kind; false if it changed nothing.
    async fn change(&self, call: &Call, command: &ScriptCall) -> Result<bool> {
        let response = self.call(call, CLASS, command).await?;
        Ok(response.first().is_some_and(|done| done == "1"))
    }
}

fn read_info(job: &[String], whole: bool) -> Result<JobInfo> {
    let [id, state, due, tries, crashes, error, payload] = job else {
        return Err(failed("a job's seven fields are not seven"));
    };
    let head = Head::read(payload);
    Ok(JobInfo {
        id: read_id(id)?,
        target: head.target(),
        kind: head.kind,
        origin: head.origin,
        state: JobState::from_name(state).ok_or_else(|| failed("a job is in no known state"))?,
        accepted_at: from_millis(head.at),
        due: due.parse().ok().map(from_millis),
        tries: tries.parse().unwrap_or_default(),
        crashes: crashes.parse().unwrap_or_default(),
        error: Some(error.clone()).filter(|error| !error.is_empty()),
        payload: whole.then(|| payload.clone()),
    })
}
