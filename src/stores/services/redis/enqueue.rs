//! Offering writes, a group of them to one script.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    CounterKey, Fact, Redis, Stamp, Stored, Subject, connection::ConnectionClass, failed, read_id,
    read_number, scripts::ScriptCall,
};
use crate::{
    domain::{
        Action, ChatKey, Condition, Entity, Hash, Kind, MessageKey, RequestId, Revision, Target,
        Write,
    },
    stores::{Enqueued, Error, Result, call::call, payload},
};

/// Age up to which the stamp of an offer is used for the fact of a later one. Facts are refused after 30 s.
const STAMP_LIFETIME: Duration = Duration::from_secs(5);

/// Encoded write, for the script.
#[derive(Clone)]
pub struct EncodedWrite {
    content: Arc<Content>,
    /// Fact that was looked up for it, in the words of the script.
    fact: String,
}

struct Content {
    kind: Kind,
    target: Target,
    /// Idempotency key or condition, in the words of the script.
    details: String,
    /// Idempotency key of a creation.
    key: Option<Hash>,
    /// Known members of the payload.
    members: String,
}

/// Limits of the queue in a call.
#[derive(Debug, Clone, Copy)]
pub enum Limits {
    /// Those of the settings.
    Settings,
    /// None: the write lets the queue become shorter.
    None,
}

/// Outcome of an offered write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// Settled with this result.
    Settled(Result<Enqueued>),
    /// Not settled: Redis needs this fact first.
    Needs(Fact),
}

impl EncodedWrite {
    /// Encodes a write; its job names the `request`.
    pub fn new(write: &Write, request: Option<&RequestId>) -> Self {
        let changes_message = write.kind.entity() == Entity::Message;
        let details = match (write.kind.action(), &write.idempotency, &write.condition) {
            (Action::Create, Some(key), _) => format!("{} {}", key.id.to_hex(), key.body.to_hex()),
            (Action::Create, None, _) => String::new(),
            (_, _, Some(Condition::AnyOf(revisions))) if changes_message => any_of(revisions),
            // The message must exist in any case.
            _ => "*".to_owned(),
        };
        let key = write.idempotency.map(|key| key.id);
        Self {
            content: Arc::new(Content {
                kind: write.kind,
                target: write.target,
                details,
                key,
                members: payload::members(write, request),
            }),
            fact: String::new(),
        }
    }

    /// The same write with what MySQL holds, in answer to a fact that Redis requested.
    pub fn with_fact(&self, fact: Fact, stored: Stored) -> Self {
        Self {
            content: self.content.clone(),
            fact: stored.words(fact.subject, fact.stamp),
        }
    }

    /// The ID of a creation's idempotency key.
    pub fn key(&self) -> Option<Hash> {
        self.content.key
    }

    /// Tells whether it has an idempotency key of which nothing was looked up.
    pub fn needs_key(&self) -> bool {
        self.content.key.is_some() && self.fact.is_empty()
    }

    /// Returns the counter that shows whether what it is written into exists.
    fn counter(&self) -> CounterKey {
        let Content { kind, target, .. } = &*self.content;
        match kind {
            Kind::CreateApplication | Kind::CreateChat | Kind::DeleteApplication => {
                CounterKey::Chats(target.app)
            }
            Kind::DeleteChat => CounterKey::Messages(ChatKey {
                app: target.app,
                number: target.number,
            }),
            Kind::CreateMessage | Kind::UpdateMessage | Kind::DeleteMessage => {
                CounterKey::Messages(target.chat())
            }
        }
    }

    /// Returns the message that it changes.
    fn message(&self) -> MessageKey {
        let target = self.content.target;
        MessageKey {
            chat: target.chat(),
            number: target.number,
        }
    }
}

/// A list of revisions as one word, which is not empty.
fn any_of(revisions: &[Revision]) -> String {
    let revisions: Vec<String> = revisions.iter().map(ToString::to_string).collect();
    format!(",{}", revisions.join(","))
}

impl Redis {
    /// Returns the stamp of the last offer, for facts that are looked up before Redis requests them. Redis counts their age from
    /// that offer on. Returns `None` if it is older than five seconds.
    pub fn recent_stamp(&self) -> Option<Stamp> {
        let last_stamp = *self
            .last_stamp
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (stamp, _) = last_stamp.filter(|(_, at)| at.elapsed() < STAMP_LIFETIME)?;
        Some(stamp)
    }

    /// Offers writes to one script and returns their outcomes, in order.
    pub async fn offer(
        &self,
        writes: impl Iterator<Item = &EncodedWrite> + Clone,
        limits: Limits,
    ) -> Result<Vec<Offered>> {
        let (queue_depth, dead_letters) = match limits {
            Limits::Settings => (self.settings.queue_depth, self.settings.dead_letters),
            Limits::None => (u32::MAX as usize, u32::MAX as usize),
        };
        let mut command = ScriptCall::new(|scripts| &scripts.enqueue);
        command.arg(queue_depth).arg(dead_letters);
        for EncodedWrite { content, fact } in writes.clone() {
            let Target { app, chat, number } = content.target;
            command.arg(content.kind.name()).arg(app.to_string());
            command.arg(chat).arg(number);
            command.arg(&content.details).arg(fact);
            command.arg(&content.members);
        }
        let (call, class) = (call!("queue", "accept"), ConnectionClass::Shared);
        let response = self.call(call, class, &command).await?;
        let [epoch, at, statuses @ ..] = &response[..] else {
            return Err(failed("enqueueing returned no epoch"));
        };
        let stamp = Stamp::read(epoch, at);
        *self
            .last_stamp
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((stamp, Instant::now()));
        let offered = writes.zip(statuses.chunks_exact(3));
        let offered = offered.map(|(write, status)| read(write, status, stamp));
        Ok(offered.collect())
    }
}

fn read(write: &EncodedWrite, response: &[String], stamp: Stamp) -> Offered {
    let needs = |subject| Offered::Needs(Fact { subject, stamp });
    let outcome = match response[0].as_str() {
        "ok" => accepted(&response[1], &response[2]),
        "missing" => Ok(Enqueued::Missing),
        "taken" => Ok(Enqueued::Taken),
        "replayed" => read_number(&response[1]).map(|number| Enqueued::Replayed { number }),
        "replayed_deleted" => Ok(Enqueued::ReplayedDeleted),
        "reused" => Ok(Enqueued::KeyReused),
        "changed" => Ok(Enqueued::Changed),
        "full" => Err(Error::Full(response[1].clone())),
        "counter" => return needs(Subject::Counter(write.counter())),
        "version" => return needs(Subject::Version(write.message())),
        "key" => match write.content.key {
            Some(key) => return needs(Subject::Creation(key)),
            None => Err(failed("a write without a key needs none")),
        },
        other => Err(failed(format!("enqueueing returned {other:?}"))),
    };
    Offered::Settled(outcome)
}

fn accepted(number: &str, id: &str) -> Result<Enqueued> {
    Ok(Enqueued::Accepted {
        number: read_number(number)?,
        revision: read_id(id)?,
    })
}
