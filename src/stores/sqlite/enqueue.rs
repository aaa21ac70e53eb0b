//! Accepting writes: does what it belongs to exist, which number does it get, queue it.

use diesel::prelude::*;

use super::{
    Embedded, QueueSettings,
    error::{Failure, Outcome},
    idempotency,
    new_job::NewJob,
    numbers::{Chats, has_application, next_chat, register},
    pending::{self, Origin},
    rows::{signed, unsigned},
    schema::{job_counts, jobs, state},
};
use crate::{
    domain::{Action, Entity, RequestId, Revision, Write},
    stores::{Enqueued, Error, Result, payload},
};

impl Embedded {
    pub(crate) async fn enqueue(
        &self,
        write: &Write,
        request: Option<&RequestId>,
    ) -> Result<Enqueued> {
        self.writer.enqueue(NewJob::new(write, request)).await
    }
}

/// Accepts writes in one transaction. An error within the result is of one write, which changed nothing; an error
/// instead of the result is of all writes.
pub(super) fn enqueue_all(
    connection: &mut SqliteConnection,
    queue: &QueueSettings,
    writes: &[&NewJob],
) -> Outcome<Vec<Result<Enqueued>>> {
    connection.immediate_transaction(|connection| {
        let mut transaction = Transaction::open(connection, queue)?;
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(match transaction.enqueue(connection, write) {
                Ok(enqueued) => Ok(enqueued),
                Err(Failure::Store(rejection)) => Err(rejection),
                Err(failure) => return Err(failure),
            });
        }
        transaction.close(connection)?;
        Ok(outcomes)
    })
}

/// State that the writes of one transaction share.
pub(super) struct Transaction {
    /// The last revision given out.
    pub revision: i64,
    /// Number of writes that the queue can still take.
    capacity: i64,
    /// The limit that is reached already.
    full: Option<&'static str>,
    now: i64,
    chats: Chats,
}

impl Transaction {
    pub fn open(connection: &mut SqliteConnection, queue: &QueueSettings) -> Outcome<Self> {
        let counts: Vec<(String, i64)> = job_counts::table
            .select((job_counts::state, job_counts::jobs))
            .load(connection)?;
        let (dead, alive): (Vec<_>, Vec<_>) =
            counts.into_iter().partition(|(state, _)| state == "dead");
        let sum = |counts: Vec<(String, i64)>| counts.iter().map(|(_, jobs)| jobs).sum::<i64>();
        Ok(Self {
            revision: state::table.select(state::revision).first(connection)?,
            capacity: signed(queue.queue_depth as u64) - sum(alive),
            full: (sum(dead) >= signed(queue.dead_letters as u64)).then_some("limits.dead_letters"),
            now: queue.clock.now(),
            chats: Chats::default(),
        })
    }

    /// Makes sure that one more write may be queued.
    fn check_capacity(&self) -> Result<()> {
        let full = self
            .full
            .or((self.capacity <= 0).then_some("limits.queue_depth"));
        full.map_or(Ok(()), |limit| Err(Error::Full(limit.into())))
    }

    pub fn close(self, connection: &mut SqliteConnection) -> Outcome<()> {
        self.chats.close(connection)?;
        diesel::update(state::table)
            .set(state::revision.eq(self.revision))
            .execute(connection)?;
        Ok(())
    }

    /// Accepts a write if the queue has capacity. Existence comes first: a client that retries must not wait for what will
    /// never be there.
    pub fn enqueue(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
    ) -> Outcome<Enqueued> {
        let Some(version) = self.find_target(connection, write)? else {
            return Ok(Enqueued::Missing);
        };
        if let Some(key) = &write.idempotency
            && let Some(created) = idempotency::find(connection, key)?
        {
            let exists = self.has_created(connection, write, created.number)?;
            return Ok(created.outcome(key, exists));
        }
        if let Some(condition) = &write.condition
            && !condition.matches(version)
        {
            return Ok(Enqueued::Changed);
        }
        self.check_capacity()?;
        self.accept(connection, write)
    }

    /// Finds what a write is into, or what it changes. Returns the revision of the last write to a message, else 0.
    pub fn find_target(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
    ) -> Outcome<Option<Revision>> {
        let NewJob { app, chat, .. } = write;
        let exists = match (write.kind.action(), write.kind.entity()) {
            (Action::Create, Entity::Application) => true,
            (Action::Delete, Entity::Application) | (Action::Create, Entity::Chat) => {
                has_application(connection, app)?
            }
            (Action::Delete | Action::Update, Entity::Message) => {
                let found = self.chats.find(connection, app, *chat)?;
                let Some(found) = found.filter(|found| write.number <= found.messages) else {
                    return Ok(None);
                };
                let id = found.id;
                return Ok(pending::version(connection, write, write.number, id)?);
            }
            (Action::Create, Entity::Message) => self.chats.find(connection, app, *chat)?.is_some(),
            (_, Entity::Chat) => self.chats.find(connection, app, write.number)?.is_some(),
            // Only messages can be updated.
            (Action::Update, Entity::Application) => false,
        };
        Ok(exists.then_some(Revision(0)))
    }

    /// Tells whether what a creation like this one created exists.
    fn has_created(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
        number: i64,
    ) -> Outcome<bool> {
        if write.kind.entity() == Entity::Chat {
            let chat = self.chats.find(connection, &write.app, number)?;
            return Ok(chat.is_some());
        }
        let chat = self.chats.find(connection, &write.app, write.chat)?;
        let Some(chat) = chat.map(|chat| chat.id) else {
            return Ok(false);
        };
        Ok(pending::version(connection, write, number, chat)?.is_some())
    }

    /// Accepts a write whose target was found.
    pub fn accept(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
    ) -> Outcome<Enqueued> {
        let NewJob { app, chat, .. } = write;
        let action = write.kind.action();
        let number = match (action, write.kind.entity()) {
            (Action::Create, Entity::Application) if !register(connection, app)? => {
                return Ok(Enqueued::Taken);
            }
            (Action::Create, Entity::Application) => 0,
            (Action::Create, Entity::Chat) => next_chat(connection, app)?,
            (Action::Create, Entity::Message) => match self.chats.find(connection, app, *chat)? {
                Some(chat) => chat.next()?,
                None => return Ok(Enqueued::Missing),
            },
            (Action::Delete, Entity::Application) => {
                self.chats.delete_application(connection, app)?;
                0
            }
            (Action::Delete, Entity::Chat) => {
                self.chats.delete(connection, app, write.number)?;
                write.number
            }
            (Action::Update | Action::Delete, _) => write.number,
        };
        if let Some(key) = &write.idempotency {
            idempotency::insert(connection, write, key, number)?;
        }
        let origin = match action {
            Action::Create | Action::Delete => Origin::default(),
            Action::Update => pending::origin(connection, app, *chat, number)?,
        };
        self.queue(connection, write, number, &origin)
    }

    fn queue(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
        number: i64,
        origin: &Origin,
    ) -> Outcome<Enqueued> {
        let payload = format!(
            "{{\"at\":{},\"number\":{number},{}{}",
            self.now,
            payload::origin(origin.created_at, origin.sender.as_deref()),
            write.members
        );
        let id = self.revision + 1;
        diesel::insert_into(jobs::table)
            .values((
                jobs::id.eq(id),
                jobs::kind.eq(write.kind.name()),
                jobs::app.eq(&write.app),
                jobs::chat.eq(write.chat),
                jobs::number.eq(number),
                jobs::payload.eq(payload),
                jobs::accepted_at.eq(self.now),
            ))
            .execute(connection)?;
        self.revision = id;
        self.capacity -= 1;
        Ok(Enqueued::Accepted {
            number: unsigned(number),
            revision: Revision(unsigned(id)),
        })
    }
}
