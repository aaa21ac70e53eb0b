//! Accepting writes: does what it belongs to exist, which number does it get, queue it.

use std::collections::{HashMap, hash_map::Entry};

use chrono::Utc;
use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Nullable},
};

use super::{
    error::{Failure, Outcome},
    rows::{MAX_MESSAGES, signed, unsigned},
    schema::{app_numbers, chat_numbers, job_counts, jobs, state},
};
use crate::{
    domain::{Kind, RequestId, Revision, Write},
    stores::{Acceptance, Error, Result, payload},
};

/// What bounds the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Writes that may be waiting, leased and delayed.
    pub queue_depth: usize,
    /// Dead letters that may be kept.
    pub dead_letters: usize,
}

/// A write as the writer wants it.
#[derive(Debug)]
pub(super) struct Draft {
    kind: Kind,
    app: String,
    /// The chat that a message belongs to, else 0.
    chat: i64,
    /// The message that an update is of, else 0.
    target: i64,
    /// What is known of the payload.
    payload: String,
}

impl Draft {
    pub fn new(write: &Write, request: Option<&RequestId>) -> Self {
        let (app, chat, target) = match write {
            Write::CreateApplication { id, .. } => (*id, 0, 0),
            Write::CreateChat { app } => (*app, 0, 0),
            Write::CreateMessage { chat, .. } => (chat.app, chat.number, 0),
            Write::UpdateMessage { message, .. } => {
                (message.chat.app, message.chat.number, message.number)
            }
        };
        Self {
            kind: write.kind(),
            app: app.to_string(),
            chat: signed(chat),
            target: signed(target),
            payload: payload::draft(write, request),
        }
    }
}

/// Accepts writes in one transaction. An error within the answers is one write's, which has changed nothing; an error
/// instead of them is everybody's.
pub(super) fn accept_all(
    connection: &mut SqliteConnection,
    limits: &Limits,
    drafts: &[&Draft],
) -> Outcome<Vec<Result<Acceptance>>> {
    connection.immediate_transaction(|connection| {
        let mut desk = Desk::open(connection, limits)?;
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            answers.push(match desk.accept(connection, draft) {
                Ok(acceptance) => Ok(acceptance),
                Err(Failure::Store(refusal)) => Err(refusal),
                Err(failure) => return Err(failure),
            });
        }
        desk.close(connection)?;
        Ok(answers)
    })
}

/// Whether a write would be accepted.
pub(super) fn room(connection: &mut SqliteConnection, limits: &Limits) -> Outcome<()> {
    Ok(Desk::open(connection, limits)?.check_room()?)
}

/// What is the same for all writes of one transaction.
struct Desk {
    /// The last revision given out.
    revision: i64,
    /// How many more may wait.
    room: i64,
    /// The limit that is reached already.
    full: Option<&'static str>,
    now: i64,
    /// The chats that were written into. Many writes of a group are into one chat: it is read and written once.
    chats: HashMap<(String, i64), Chat>,
}

/// A chat, as it is counted.
struct Chat {
    id: i64,
    /// Numbers given out.
    messages: i64,
    /// Whether more are than the file says.
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

impl Desk {
    fn open(connection: &mut SqliteConnection, limits: &Limits) -> Outcome<Self> {
        let counts: Vec<(String, i64)> = job_counts::table
            .select((job_counts::state, job_counts::jobs))
            .load(connection)?;
        let (dead, alive): (Vec<_>, Vec<_>) =
            counts.into_iter().partition(|(state, _)| state == "dead");
        let sum = |counts: Vec<(String, i64)>| counts.iter().map(|(_, jobs)| jobs).sum::<i64>();
        Ok(Self {
            revision: state::table.select(state::revision).first(connection)?,
            room: signed(limits.queue_depth as u64) - sum(alive),
            full: (sum(dead) >= signed(limits.dead_letters as u64))
                .then_some("limits.dead_letters"),
            now: Utc::now().timestamp_millis(),
            chats: HashMap::new(),
        })
    }

    /// The chat that a write is into, if there is one.
    fn chat(
        &mut self,
        connection: &mut SqliteConnection,
        draft: &Draft,
    ) -> QueryResult<Option<&mut Chat>> {
        Ok(match self.chats.entry((draft.app.clone(), draft.chat)) {
            Entry::Occupied(chat) => Some(chat.into_mut()),
            Entry::Vacant(place) => {
                let found: Option<(i64, i64)> = chat_numbers::table
                    .filter(chat_numbers::app.eq(&draft.app))
                    .filter(chat_numbers::number.eq(draft.chat))
                    .select((chat_numbers::id, chat_numbers::messages))
                    .first(connection)
                    .optional()?;
                found.map(|(id, messages)| {
                    place.insert(Chat {
                        id,
                        messages,
                        changed: false,
                    })
                })
            }
        })
    }

    /// That there is room for one more write.
    fn check_room(&self) -> Result<()> {
        let full = self
            .full
            .or((self.room <= 0).then_some("limits.queue_depth"));
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

    fn accept(&mut self, connection: &mut SqliteConnection, draft: &Draft) -> Outcome<Acceptance> {
        self.check_room()?;
        let mut created = None;
        let number = match draft.kind {
            Kind::CreateApplication => {
                let new = (app_numbers::app.eq(&draft.app), app_numbers::chats.eq(0));
                let inserted = diesel::insert_or_ignore_into(app_numbers::table)
                    .values(new)
                    .execute(connection)?;
                if inserted == 0 {
                    return Ok(Acceptance::Taken);
                }
                0
            }
            Kind::CreateChat => match next_chat(connection, draft)? {
                None => return Ok(Acceptance::Missing),
                Some(number) => number,
            },
            Kind::CreateMessage => match self.chat(connection, draft)? {
                None => return Ok(Acceptance::Missing),
                Some(chat) => chat.next()?,
            },
            Kind::UpdateMessage => {
                let chat = self.chat(connection, draft)?;
                if chat.is_none_or(|chat| draft.target > chat.messages) {
                    return Ok(Acceptance::Missing);
                }
                created = created_at(connection, draft)?;
                draft.target
            }
        };
        self.queue(connection, draft, number, created)
    }

    fn queue(
        &mut self,
        connection: &mut SqliteConnection,
        draft: &Draft,
        number: i64,
        created: Option<i64>,
    ) -> Outcome<Acceptance> {
        let created = created.map_or_else(String::new, |at| format!("\"created\":{at},"));
        let payload = format!(
            "{{\"v\":{},\"at\":{},\"number\":{number},{created}{}",
            payload::VERSION,
            self.now,
            draft.payload
        );
        let id = self.revision + 1;
        diesel::insert_into(jobs::table)
            .values((
                jobs::id.eq(id),
                jobs::kind.eq(draft.kind.name()),
                jobs::app.eq(&draft.app),
                jobs::chat.eq(draft.chat),
                jobs::number.eq(number),
                jobs::payload.eq(payload),
                jobs::accepted_at.eq(self.now),
            ))
            .execute(connection)?;
        self.revision = id;
        self.room -= 1;
        Ok(Acceptance::Accepted {
            number: unsigned(number),
            revision: Revision(unsigned(id)),
        })
    }
}

fn next_chat(connection: &mut SqliteConnection, draft: &Draft) -> QueryResult<Option<i64>> {
    let number: Option<i64> = diesel::update(app_numbers::table.find(&draft.app))
        .set(app_numbers::chats.eq(app_numbers::chats + 1))
        .returning(app_numbers::chats)
        .get_result(connection)
        .optional()?;
    if let Some(number) = number {
        diesel::insert_into(chat_numbers::table)
            .values((
                chat_numbers::app.eq(&draft.app),
                chat_numbers::number.eq(number),
                chat_numbers::messages.eq(0),
            ))
            .execute(connection)?;
    }
    Ok(number)
}

/// Since when the message exists, if that is known here: who reads the update before it is stored wants to know.
fn created_at(connection: &mut SqliteConnection, draft: &Draft) -> QueryResult<Option<i64>> {
    let since: Option<Option<i64>> = jobs::table
        .filter(jobs::app.eq(&draft.app))
        .filter(jobs::chat.eq(draft.chat))
        .filter(jobs::number.eq(draft.target))
        .filter(jobs::superseded.eq(0))
        .order(jobs::id)
        .select(sql::<Nullable<BigInt>>(
            "COALESCE(json_extract(payload, '$.created'), CASE kind WHEN 'create_message' THEN accepted_at END)",
        ))
        .first(connection)
        .optional()?;
    Ok(since.flatten())
}
