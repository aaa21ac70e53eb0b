//! The operator's view: listing jobs, and changing what becomes of one.
//!
//! A script may not hold Redis up, however long the queue is: ids are read in pages, and sorted out here.

use deadpool_redis::redis::Cmd;

use super::{Redis, connection::Via, failed, read_id, scripts::Script};
use crate::{
    domain::{Kind, Revision, time::from_millis},
    stores::{JobInfo, JobState, Result, jobs::target, payload::Head},
};

/// Ids that one call reads at most.
const IDS: usize = 10_000;

/// Jobs that one call looks at, at most: it looks for each in several places.
const INFOS: usize = 200;

impl Redis {
    /// As [`JobQueue::jobs`](crate::stores::JobQueue::jobs).
    pub(super) async fn list(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut ids = Vec::new();
        for key in self.places(state, kind).await? {
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

    /// The keys under which jobs in a state are found, and maybe others.
    async fn places(&self, state: JobState, kind: Option<Kind>) -> Result<Vec<String>> {
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

    /// All that is in one list, sorted set or set.
    async fn ids(&self, key: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        loop {
            let from = ids.len();
            let page = self
                .call(Via::Pool, &self.scripts.ids, |command| {
                    command.arg(key).arg(from).arg(from + IDS - 1);
                })
                .await?;
            let is_last = page.len() != IDS;
            ids.extend(page);
            if is_last {
                return Ok(ids);
            }
        }
    }

    /// What is known of each of these jobs that there is.
    pub(super) async fn infos(&self, ids: &[String], whole: bool) -> Result<Vec<JobInfo>> {
        let answer = self
            .call(Via::Pool, &self.scripts.jobs, |command| {
                command.arg(u8::from(whole)).arg(ids);
            })
            .await?;
        answer.chunks_exact(7).map(|job| read(job, whole)).collect()
    }

    /// Has one thing changed; tells whether that was possible.
    pub(super) async fn tell(
        &self,
        script: &Script,
        add_arguments: impl Fn(&mut Cmd),
    ) -> Result<bool> {
        let answer = self.call(Via::Pool, script, add_arguments).await?;
        Ok(answer.first().is_some_and(|done| done == "1"))
    }
}

fn read(job: &[String], whole: bool) -> Result<JobInfo> {
    let [id, state, due, tries, crashes, error, payload] = job else {
        return Err(failed("a job's seven fields are not seven"));
    };
    let head = Head::read(payload);
    Ok(JobInfo {
        id: read_id(id)?,
        kind: head.kind,
        request: head.request,
        state: JobState::from_name(state).ok_or_else(|| failed("a job is in no known state"))?,
        target: target(&head.app, head.chat, head.number),
        accepted_at: from_millis(head.at),
        due: due.parse().ok().map(from_millis),
        tries: tries.parse().unwrap_or_default(),
        crashes: crashes.parse().unwrap_or_default(),
        error: Some(error.clone()).filter(|error| !error.is_empty()),
        payload: whole.then(|| payload.clone()),
    })
}
