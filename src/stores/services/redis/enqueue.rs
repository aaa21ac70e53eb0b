//! Offering writes, a group of them to one script.

use super::{
    CounterKey, Fact, Redis, connection::ConnectionClass, failed, read_id, scripts::ScriptCall,
};
use crate::{
    domain::{Entity, Kind, RequestId, Target, Write},
    stores::{Enqueued, Error, Result, call::call, payload},
};

/// Encoded write, for the script.
pub struct EncodedWrite {
    kind: Kind,
    target: Target,
    /// Known members of the payload.
    members: String,
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
        Self {
            kind: write.kind,
            target: write.target,
            members: payload::members(write, request),
        }
    }

    /// Returns the counter of its number. Applications have none.
    fn counter(&self) -> Option<CounterKey> {
        match self.kind.entity() {
            Entity::Application => None,
            Entity::Chat => Some(CounterKey::Chats(self.target.app)),
            Entity::Message => Some(CounterKey::Messages(self.target.chat())),
        }
    }
}

impl Redis {
    /// Offers writes to one script and returns their outcomes, in order.
    pub async fn offer(
        &self,
        writes: impl Iterator<Item = &EncodedWrite> + Clone,
    ) -> Result<Vec<Offered>> {
        let mut command = ScriptCall::new(|scripts| &scripts.enqueue);
        command
            .arg(self.settings.queue_depth)
            .arg(self.settings.dead_letters);
        for EncodedWrite {
            kind,
            target,
            members,
        } in writes.clone()
        {
            command.arg(kind.name()).arg(target.app.to_string());
            command.arg(target.chat).arg(target.number).arg(members);
        }
        let (call, class) = (call!("queue", "accept"), ConnectionClass::Shared);
        let response = self.call(call, class, &command).await?;
        let offered = writes.zip(response.chunks_exact(3));
        Ok(offered.map(|(write, status)| read(write, status)).collect())
    }
}

fn read(write: &EncodedWrite, response: &[String]) -> Offered {
    let outcome = match response[0].as_str() {
        "ok" => accepted(&response[1], &response[2]),
        "missing" => Ok(Enqueued::Missing),
        "taken" => Ok(Enqueued::Taken),
        "full" => Err(Error::Full(response[1].clone())),
        "counter" => match write.counter() {
            Some(counter) => return Offered::Needs(counter.fact(&response[1], &response[2])),
            None => Err(failed("an application needs no counter")),
        },
        other => Err(failed(format!("enqueueing returned {other:?}"))),
    };
    Offered::Settled(outcome)
}

fn accepted(number: &str, id: &str) -> Result<Enqueued> {
    Ok(Enqueued::Accepted {
        number: number
            .parse()
            .map_err(|_| failed(format!("{number:?} is no number")))?,
        revision: read_id(id)?,
    })
}
