//! Accepting writes: does what it belongs to exist, which number does it get, queue it.

use std::collections::{HashMap, hash_map::Entry};

use diesel::prelude::*;

use super::{
    Embedded, QueueSettings,
    error::{Failure, Outcome},
    pending::{self, Origin},
    rows::{MAX_MESSAGES, signed, unsigned},
    schema::{app_numbers, chat_numbers, job_counts, jobs, state},
};
use crate::{
    domain::{Action, Entity, Kind, RequestId, Revision, Target, Write},
    stores::{Enqueued, Error, Result, payload},
};

/// A write as the file keeps it.
#[derive(Debug)]
pub(super) struct NewJob {
    kind: Kind,
    pub app: String,
    /// Chat of a message, else 0.
    chat: i64,
    /// Message of an update, else 0.
    number: i64,
    /// Known members of the payload.
    members: String,
}

impl NewJob {
    pub fn new(write: &Write, request: Option<&RequestId>) -> Self {
        let Target { app, chat, number } = write.target;
        Self {
            kind: write.kind,
            app: app.to_string(),
            chat: signed(chat),
            number: signed(number),
            members: payload::members(write, request),
        }
    }
}

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
    /// The chats that were written into. Many writes of a group are into one chat: it is read and written once.
    chats: HashMap<(String, i64), Chat>,
}

/// Counter of a chat's messages.
struct Chat {
    id: i64,
    /// Numbers given out.
    messages: i64,
    /// Tells whether `messages` differs from the file.
    changed: bool,
}

impl Chat {
    /// The number of its next message.
    fn next(&mut self) -> Result<i64> {
        if self.messages >= MAX_MESSAGES {
            let full = format!("a chat holds at most {MAX_MESSAGES} messages in one file");
            return Err(Error::Full(full));
        }
        self.messages += 1;
        self.changed = true;
        Ok(self.messages)
    }
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
            chats: HashMap::new(),
        })
    }

    /// The chat that a write is into, if there is one.
    fn chat(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
    ) -> QueryResult<Option<&mut Chat>> {
        Ok(match self.chats.entry((write.app.clone(), write.chat)) {
            Entry::Occupied(chat) => Some(chat.into_mut()),
            Entry::Vacant(entry) => {
                let found: Option<(i64, i64)> = chat_numbers::table
                    .filter(chat_numbers::app.eq(&write.app))
                    .filter(chat_numbers::number.eq(write.chat))
                    .select((chat_numbers::id, chat_numbers::messages))
                    .first(connection)
                    .optional()?;
                found.map(|(id, messages)| {
                    entry.insert(Chat {
                        id,
                        messages,
                        changed: false,
                    })
                })
            }
        })
    }

    /// Makes sure that one more write may be queued.
    fn check_capacity(&self) -> Result<()> {
        let full = self
            .full
            .or((self.capacity <= 0).then_some("limits.queue_depth"));
        full.map_or(Ok(()), |limit| Err(Error::Full(limit.into())))
    }

    fn close(self, connection: &mut SqliteConnection) -> Outcome<()> {
        for chat in self.chats.values().filter(|chat| chat.changed) {
            diesel::update(chat_numbers::table.find(chat.id))
                .set(chat_numbers::messages.eq(chat.messages))
                .execute(connection)?;
        }
        diesel::update(state::table)
            .set(state::revision.eq(self.revision))
            .execute(connection)?;
        Ok(())
    }

    pub fn enqueue(
        &mut self,
        connection: &mut SqliteConnection,
        write: &NewJob,
    ) -> Outcome<Enqueued> {
        if let Err(full) = self.check_capacity() {
            // Existence first: a client that retries must not wait for what will never be there.
            return match self.has_target(connection, write)? {
                true => Err(full.into()),
                false => Ok(Enqueued::Missing),
            };
        }
        let action = write.kind.action();
        let number = match (action, write.kind.entity()) {
            (Action::Create, Entity::Application) if !register(connection, write)? => {
                return Ok(Enqueued::Taken);
            }
            (Action::Create, Entity::Application) => Some(0),
            (Action::Create, Entity::Chat) => next_chat(connection, write)?,
            (Action::Create, Entity::Message) => {
                let chat = self.chat(connection, write)?;
                chat.map(Chat::next).transpose()?
            }
            // Only messages can be changed.
            (Action::Update, _) => {
                let chat = self.chat(connection, write)?;
                chat.filter(|chat| write.number <= chat.messages)
                    .map(|_| write.number)
            }
        };
        let Some(number) = number else {
            return Ok(Enqueued::Missing);
        };
        let origin = match action {
            Action::Create => Origin::default(),
            Action::Update => pending::origin(connection, &write.app, write.chat, write.number)?,
        };
        self.queue(connection, write, number, &origin)
    }

    /// Tells whether what is written into exists.
    fn has_target(&mut self, connection: &mut SqliteConnection, write: &NewJob) -> Outcome<bool> {
        let action = write.kind.action();
        Ok(match (action, write.kind.entity()) {
            (Action::Create, Entity::Application) => true,
            (Action::Create, Entity::Chat) => {
                let app = app_numbers::table.find(&write.app);
                app.count().get_result::<i64>(connection)? > 0
            }
            _ => self
                .chat(connection, write)?
                .is_some_and(|chat| action == Action::Create || write.number <= chat.messages),
        })
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

/// Registers an application ID; false if it is taken.
fn register(connection: &mut SqliteConnection, write: &NewJob) -> QueryResult<bool> {
    let new = (app_numbers::app.eq(&write.app), app_numbers::chats.eq(0));
    let inserted = diesel::insert_or_ignore_into(app_numbers::table)
        .values(new)
        .execute(connection)?;
    Ok(inserted > 0)
}

fn next_chat(connection: &mut SqliteConnection, write: &NewJob) -> QueryResult<Option<i64>> {
    let number: Option<i64> = diesel::update(app_numbers::table.find(&write.app))
        .set(app_numbers::chats.eq(app_numbers::chats + 1))
        .returning(app_numbers::chats)
        .get_result(connection)
        .optional()?;
    if let Some(number) = number {
        diesel::insert_into(chat_numbers::table)
            .values((
                chat_numbers::app.eq(&write.app),
                chat_numbers::number.eq(number),
                chat_numbers::messages.eq(0),
            ))
            .execute(connection)?;
    }
    Ok(number)
}
