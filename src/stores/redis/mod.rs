//! [`JobQueue`] on Redis: lists as queues, and beside them the counters and what is not stored yet.
//!
//! Every step is one Lua script; `lua/common.lua` describes the keys.

mod admin;
mod connection;
mod epoch;
mod examine;
mod scripts;
mod server;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Mutex;
use url::Url;

use self::{
    connection::{Connections, Via},
    epoch::Scope,
    scripts::Scripts,
};
use super::{
    Acceptance, Batch, Check, ClaimLimits, Error, JobInfo, JobQueue, JobState, KindStats, Lease,
    Ledger, Recovered, Result, payload,
};
use crate::domain::{
    AppId, Application, Chat, ChatKey, Entry, Job, Kind, Message, MessageKey, Page, Revision, Write,
};

/// Leases that one call of [`JobQueue::recover`] gives back at most; the next call goes on.
const RECOVER_LEASES: usize = 100;

/// What bounds the queue, and how Redis is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// What all keys of this installation begin with.
    pub prefix: String,
    /// Connections of the workers.
    pub pool_size: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// Writes that may be waiting, leased and delayed.
    pub queue_depth: usize,
    /// Dead letters that may be kept.
    pub dead_letters: usize,
}

/// The queue on Redis.
pub struct RedisQueue {
    connections: Connections,
    scripts: Scripts,
    ledger: Arc<dyn Ledger>,
    prefix: String,
    queue_depth: usize,
    dead_letters: usize,
    /// Held while this process begins an epoch, so that its requests do not all go and do so.
    beginning: Mutex<()>,
}

impl RedisQueue {
    /// Prepares the queue; Redis is reached when first needed. `ledger` answers what Redis may have lost.
    pub fn new(url: &Url, settings: RedisSettings, ledger: Arc<dyn Ledger>) -> Result<Self> {
        Ok(Self {
            connections: Connections::new(url, settings.pool_size, settings.timeout)?,
            scripts: Scripts::new(),
            ledger,
            prefix: settings.prefix,
            queue_depth: settings.queue_depth,
            dead_letters: settings.dead_letters,
            beginning: Mutex::new(()),
        })
    }

    /// The writes of a page that are not stored yet.
    async fn pending(&self, key: &str, page: &Page) -> Result<Vec<Entry>> {
        let low = page.after.map_or("-inf".into(), |n| format!("({n}"));
        let high = page.before.map_or("+inf".into(), |n| format!("({n}"));
        let answer = self
            .call(Via::Shared, &self.scripts.pending, |command| {
                command.arg(key).arg(&low).arg(&high).arg(page.limit);
                command.arg(u8::from(page.from_the_end()));
            })
            .await?;
        let mut entries = Vec::with_capacity(answer.len() / 2);
        for write in answer.chunks_exact(2) {
            entries.push(read_entry(&write[0], &write[1])?);
        }
        if page.from_the_end() {
            entries.reverse();
        }
        Ok(entries)
    }
}

fn read_id(id: &str) -> Result<Revision> {
    Revision::parse(id).ok_or_else(|| Error::Failed {
        store: "Redis",
        detail: format!("{id:?} is no job id"),
    })
}

fn read_entry(id: &str, payload: &str) -> Result<Entry> {
    payload::read(read_id(id)?, payload).map_err(|detail| Error::Failed {
        store: "Redis",
        detail,
    })
}

fn name(lease: &Lease) -> String {
    format!("{}:{}", lease.kind.name(), lease.token)
}

#[async_trait]
impl JobQueue for RedisQueue {
    async fn ping(&self) -> Result<()> {
        self.check_server().await
    }

    async fn examine(&self) -> Vec<Check> {
        let checked = self.checks().await;
        checked.unwrap_or_else(|error| {
            let advice = "see that Redis and MySQL run, and that services.redis_url leads there";
            vec![Check::problem("redis", error.to_string(), advice)]
        })
    }

    async fn accept(&self, write: &Write) -> Result<Acceptance> {
        let (scope, app, chat, number) = match write {
            Write::CreateApplication { id, .. } => (None, *id, 0, 0),
            Write::CreateChat { app } => (Some(Scope::Application(*app)), *app, 0, 0),
            Write::CreateMessage { chat, .. } => {
                (Some(Scope::Chat(*chat)), chat.app, chat.number, 0)
            }
            Write::UpdateMessage { message, .. } => {
                let chat = message.chat;
                (
                    Some(Scope::Chat(chat)),
                    chat.app,
                    chat.number,
                    message.number,
                )
            }
        };
        let draft = payload::draft(write);
        let answer = self
            .call_counted(Via::Shared, &self.scripts.accept, scope, |command| {
                command.arg(write.kind().name()).arg(app.to_string());
                command.arg(chat).arg(number).arg(&draft);
                command.arg(self.queue_depth).arg(self.dead_letters);
            })
            .await?;
        Ok(match answer.as_deref() {
            None => Acceptance::Missing,
            Some([number, id]) => Acceptance::Accepted {
                number: number.parse().unwrap_or_default(),
                revision: read_id(id)?,
            },
            Some(_) => Acceptance::Taken,
        })
    }

    async fn application(&self, id: AppId) -> Result<Option<(Option<Application>, u64)>> {
        let scope = Scope::Application(id);
        let Some(answer) = self
            .call_counted(Via::Shared, &self.scripts.scope, Some(scope), |command| {
                command.arg(scope.key());
            })
            .await?
        else {
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
        let scope = Scope::Chat(key);
        let answer = self
            .call_counted(Via::Shared, &self.scripts.scope, Some(scope), |command| {
                command.arg(scope.key());
            })
            .await?;
        Ok(answer.is_some())
    }

    async fn chat(&self, key: ChatKey) -> Result<Option<Chat>> {
        Ok(self.chats(key.app, &Page::only(key.number)).await?.pop())
    }

    async fn chats(&self, app: AppId, page: &Page) -> Result<Vec<Chat>> {
        let entries = self.pending(&format!("pending:{app}"), page).await?;
        Ok(entries.into_iter().filter_map(Entry::into_chat).collect())
    }

    async fn message(&self, key: MessageKey) -> Result<Option<Message>> {
        Ok(self
            .messages(key.chat, &Page::only(key.number))
            .await?
            .pop())
    }

    async fn messages(&self, chat: ChatKey, page: &Page) -> Result<Vec<Message>> {
        let entries = self.pending(&format!("pending:{chat}"), page).await?;
        Ok(entries
            .into_iter()
            .filter_map(Entry::into_message)
            .collect())
    }

    async fn claim(&self, kind: Kind, limits: &ClaimLimits) -> Result<Option<Batch>> {
        let token = format!("{:032x}", rand::random::<u128>());
        let answer = self
            .call(Via::Pool, &self.scripts.claim, |command| {
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
        self.call(Via::Pool, &self.scripts.extend, |command| {
            command.arg(name(lease)).arg(millis(time));
        })
        .await?;
        Ok(())
    }

    async fn acknowledge(&self, lease: &Lease, jobs: &[Job]) -> Result<()> {
        self.call(Via::Pool, &self.scripts.acknowledge, |command| {
            command.arg(name(lease));
            for job in jobs {
                let (found_by, number) = match &job.entry {
                    Ok(Entry::Application(application)) => (format!("app:{}", application.id), 0),
                    Ok(Entry::Chat(chat)) => (format!("pending:{}", chat.key.app), chat.key.number),
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
        self.call(Via::Pool, &self.scripts.fail, |command| {
            command.arg(name(lease)).arg(lease.kind.name());
            command.arg(job.revision.to_string()).arg(error);
            command.arg(retry_after.map_or(-1, millis));
        })
        .await?;
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.call(Via::Pool, &self.scripts.release, |command| {
            command.arg(name(lease)).arg(lease.kind.name());
        })
        .await?;
        Ok(())
    }

    async fn recover(&self) -> Result<Recovered> {
        if !self.is_current().await? {
            self.begin_epoch().await?;
        }
        let answer = self
            .call(Via::Pool, &self.scripts.recover, |command| {
                command.arg(RECOVER_LEASES);
            })
            .await?;
        let mut counts = answer.iter().map(|count| count.parse().unwrap_or_default());
        Ok(Recovered {
            jobs: counts.next().unwrap_or_default(),
            dead: counts.next().unwrap_or_default(),
        })
    }

    async fn raise_revisions(&self, above: Revision) -> Result<()> {
        self.begin_epoch_above(Some(above.epoch())).await
    }

    async fn stats(&self) -> Result<Vec<KindStats>> {
        let answer = self
            .call(Via::Pool, &self.scripts.stats, |command| {
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
        self.list(state, kind, after, limit).await
    }

    async fn job(&self, id: Revision) -> Result<Option<JobInfo>> {
        Ok(self.infos(&[id.to_string()], true).await?.pop())
    }

    async fn retry(&self, id: Revision) -> Result<bool> {
        self.tell(&self.scripts.retry, |command| {
            command.arg(id.to_string());
        })
        .await
    }

    async fn kill(&self, id: Revision) -> Result<bool> {
        self.tell(&self.scripts.kill, |command| {
            command.arg(id.to_string());
        })
        .await
    }

    async fn set_paused(&self, kind: Kind, paused: bool) -> Result<()> {
        self.tell(&self.scripts.pause, |command| {
            command.arg(kind.name()).arg(u8::from(paused));
        })
        .await?;
        Ok(())
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
