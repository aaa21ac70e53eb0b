//! What the trait promises, each step by its script.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisQueue, accept::Draft, connection::Via, epoch::Scope, read_entry, read_id};
use crate::{
    domain::{
        AppId, Application, Chat, ChatKey, Entry, Job, Kind, Message, MessageKey, Page, RequestId,
        Revision, Write,
    },
    stores::{
        Acceptance, Batch, Check, ClaimLimits, JobInfo, JobQueue, JobState, KindStats, Known,
        Lease, Recovered, Result, payload,
    },
};

/// Leases that one call of [`JobQueue::recover`] gives back at most; the next call goes on.
const RECOVER_LEASES: usize = 100;

fn name(lease: &Lease) -> String {
    format!("{}:{}", lease.kind.name(), lease.token)
}

#[async_trait]
impl JobQueue for RedisQueue {
    async fn ping(&self) -> Result<()> {
        self.redis.check_server().await?;
        self.redis
            .call(Via::Shared, &self.redis.scripts.room, |command| {
                command
                    .arg(self.redis.queue_depth)
                    .arg(self.redis.dead_letters);
            })
            .await?;
        Ok(())
    }

    async fn examine(&self) -> Vec<Check> {
        let checked = self.redis.checks().await;
        checked.unwrap_or_else(|error| {
            let advice = "see that Redis and MySQL run, and that services.redis_url leads there";
            vec![Check::problem("redis", error.to_string(), advice)]
        })
    }

    async fn accept(&self, write: &Write, request: Option<&RequestId>) -> Result<Acceptance> {
        self.accepts.ask(Draft::new(write, request)).await
    }

    async fn application(&self, id: AppId) -> Result<Option<(Option<Application>, u64)>> {
        let Some(answer) = self.redis.scope(Scope::Application(id)).await? else {
            return Ok(None);
        };
        let [chats, id, payload] = answer.as_slice() else {
            return Ok(None);
        };
        let pending = match id.is_empty() {
            true => None,
            false => read_entry(id, payload)?.into_application(),
        };
        Ok(Some((pending, chats.parse().unwrap_or_default())))
    }

    async fn has_chat(&self, key: ChatKey) -> Result<bool> {
        Ok(self.redis.scope(Scope::Chat(key)).await?.is_some())
    }

    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        Ok(self.chats(key.app, &Page::only(key.number)).await?.pop())
    }

    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let entries = self.redis.pending(&format!("pending:{app}"), page).await?;
        Ok(entries.into_iter().filter_map(Entry::into_chat).collect())
    }

    async fn message(&self, key: MessageKey) -> Result<Known<Message>> {
        let newest = self.newest.ask(key).await?;
        Ok(newest.map_or(Known::Nothing, Known::Pending))
    }

    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        let entries = self.redis.pending(&format!("pending:{chat}"), page).await?;
        Ok(entries
            .into_iter()
            .filter_map(Entry::into_message)
            .collect())
    }

    async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>> {
        let token = format!("{:032x}", rand::random::<u128>());
        let answer = self
            .redis
            .call(Via::Pool, &self.redis.scripts.claim, |command| {
                command.arg(kind.name()).arg(&token).arg(limits.jobs);
                command.arg(limits.bytes).arg(millis(limits.lease));
            })
            .await?;
        let Some((epoch, claimed)) = answer.split_first().filter(|(_, jobs)| !jobs.is_empty())
        else {
            return Ok(None);
        };
        let mut jobs = Vec::with_capacity(claimed.len() / 3);
        for job in claimed.chunks_exact(3) {
            let revision = read_id(&job[0])?;
            let tries = job[1].parse().unwrap_or_default();
            jobs.push(payload::job(revision, tries, &job[2]));
        }
        Ok(Some(Batch {
            lease: Lease { kind, token },
            epoch: epoch.parse().unwrap_or_default(),
            jobs,
        }))
    }

    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        self.redis
            .call(Via::Pool, &self.redis.scripts.extend, |command| {
                command.arg(name(lease)).arg(millis(time));
            })
            .await?;
        Ok(())
    }

    async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()> {
        self.redis
            .call(Via::Pool, &self.redis.scripts.acknowledge, |command| {
                command.arg(name(lease));
                for job in jobs {
                    let (found_by, number) = match &job.entry {
                        Ok(Entry::Application(application)) => {
                            (format!("app:{}", application.id), 0)
                        }
                        Ok(Entry::Chat(chat)) => {
                            (format!("pending:{}", chat.key.app), chat.key.number)
                        }
                        Ok(Entry::Message(message)) => {
                            (format!("pending:{}", message.key.chat), message.key.number)
                        }
                        Err(_) => continue,
                    };
                    command
                        .arg(job.revision.to_string())
                        .arg(found_by)
                        .arg(number);
                }
            })
            .await?;
        Ok(())
    }

    async fn fail(
        &self,
        lease: &Lease,
        job: &Job,
        error: &str,
        retry_after: Option<Duration>,
    ) -> Result<()> {
        self.redis
            .call(Via::Pool, &self.redis.scripts.fail, |command| {
                command.arg(name(lease)).arg(lease.kind.name());
                command.arg(job.revision.to_string()).arg(error);
                command.arg(retry_after.map_or(-1, millis));
            })
            .await?;
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.redis
            .call(Via::Pool, &self.redis.scripts.release, |command| {
                command.arg(name(lease)).arg(lease.kind.name());
            })
            .await?;
        Ok(())
    }

    async fn recover(&self) -> Result<Vec<Recovered>> {
        if !self.redis.is_current().await? {
            self.redis.begin_epoch().await?;
        }
        let answer = self
            .redis
            .call(Via::Pool, &self.redis.scripts.recover, |command| {
                command.arg(RECOVER_LEASES);
            })
            .await?;
        let claims = answer.chunks_exact(3).filter_map(|claim| {
            Some(Recovered {
                kind: Kind::from_name(&claim[0])?,
                jobs: claim[1].parse().unwrap_or_default(),
                dead: claim[2].parse().unwrap_or_default(),
            })
        });
        Ok(Recovered::sum(claims))
    }

    async fn raise_revisions(&self, above: Revision) -> Result<()> {
        self.redis.begin_epoch_above(Some(above.epoch())).await
    }

    async fn stats(&self) -> Result<Vec<KindStats>> {
        let answer = self
            .redis
            .call(Via::Pool, &self.redis.scripts.stats, |command| {
                for kind in Kind::ALL {
                    command.arg(kind.name());
                }
            })
            .await?;
        let counts: Vec<u64> = answer
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

    async fn jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        after: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<JobInfo>> {
        self.redis.list(state, kind, after, limit).await
    }

    async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        Ok(self.redis.infos(&[id.to_string()], true).await?.pop())
    }

    async fn retry(&self, id: Revision) -> Result<bool> {
        self.redis
            .tell(&self.redis.scripts.retry, |command| {
                command.arg(id.to_string());
            })
            .await
    }

    async fn kill(&self, id: Revision) -> Result<bool> {
        self.redis
            .tell(&self.redis.scripts.kill, |command| {
                command.arg(id.to_string());
            })
            .await
    }

    async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        self.redis
            .tell(&self.redis.scripts.pause, |command| {
                command.arg(kind.name()).arg(u8::from(paused));
            })
            .await?;
        Ok(())
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
