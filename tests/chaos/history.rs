//! Requests of the clients and the responses to them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::support::{App, Chat};

/// The key of a message in the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The chat of the message.
    pub chat: Chat,
    /// The number of the message in its chat.
    pub number: u64,
}

/// Start, end and outcome of a request.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Before its first byte was sent.
    pub sent: Instant,
    /// When the response arrived or the request failed.
    pub ended: Instant,
    /// The response was a success. Otherwise the outcome is unknown.
    pub answered: bool,
}

impl Span {
    /// A request that was sent at that time and ends now.
    pub fn ending_now(sent: Instant, answered: bool) -> Self {
        Self {
            sent,
            ended: Instant::now(),
            answered,
        }
    }
}

/// One creation or update of a message.
#[derive(Debug)]
pub struct Write {
    /// The chat it was sent to.
    pub chat: Chat,
    /// The number of the message; `None` for a creation without a successful response.
    pub number: Option<u64>,
    /// A creation, not an update.
    pub creates: bool,
    /// A creation with an idempotency key.
    pub keyed: bool,
    /// Start, end and outcome.
    pub span: Span,
}

/// A violation of read-your-writes: a read that did not return a write acknowledged before it.
#[derive(Debug)]
pub struct ReadViolation {
    /// The message that was read.
    pub key: Key,
    /// When the newest write was sent that was acknowledged before the read.
    pub written: Instant,
    /// The message was not found at all.
    pub missing: bool,
    /// The response, for the report.
    pub seen: String,
}

/// All operations. Only the client that created a message updates it, one write at a time.
#[derive(Debug, Default)]
pub struct History {
    /// Applications, with their usernames.
    pub apps: BTreeMap<String, (String, Span)>,
    /// Chats, each with its acknowledged creations; more than one is a violation.
    pub chats: HashMap<Chat, Vec<Span>>,
    /// Every write to a message, by its text.
    pub writes: HashMap<String, Write>,
    /// The texts written to each message with a known number, in the order of the responses.
    pub by_key: HashMap<Key, Vec<String>>,
    /// Deletions of messages, acknowledged or not.
    pub deletions: HashMap<Key, Span>,
    /// Deletions of chats, acknowledged or not.
    pub chat_deletions: HashMap<Chat, Span>,
    /// Applications whose ID was returned for more than one creation.
    pub twice: Vec<String>,
    /// Violations of read-your-writes.
    pub read_violations: Vec<ReadViolation>,
    /// Unexpected responses, such as a 500 or a 404 for an existing resource, with the time the resource was created.
    pub unexpected: Vec<(String, Option<Instant>)>,
    /// Number of dead letters that were retried.
    pub retried: usize,
    /// Number of dead letters that were discarded.
    pub discarded: usize,
    /// Chats that the clients write to.
    open: Vec<Chat>,
    /// Counts of successes and failures.
    pub tally: Tally,
}

/// Counts of requests by outcome.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Creations that succeeded.
    pub created: usize,
    /// Updates that succeeded.
    pub updated: usize,
    /// Reads that succeeded.
    pub read: usize,
    /// Creations of messages without an idempotency key that failed.
    pub not_created: usize,
    /// Creations of messages with an idempotency key that failed.
    pub not_keyed: usize,
    /// Updates that failed.
    pub not_updated: usize,
    /// Reads that failed.
    pub not_read: usize,
}

impl Tally {
    /// The number of requests that succeeded.
    pub fn answered(&self) -> usize {
        self.created + self.updated + self.read
    }

    /// The difference to `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            created: self.created - before.created,
            updated: self.updated - before.updated,
            read: self.read - before.read,
            not_created: self.not_created - before.not_created,
            not_keyed: self.not_keyed - before.not_keyed,
            not_updated: self.not_updated - before.not_updated,
            not_read: self.not_read - before.not_read,
        }
    }
}

/// A history that several clients append to.
#[derive(Debug, Default)]
pub struct SharedHistory(Mutex<History>);

impl SharedHistory {
    /// Locks the history.
    pub fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unwraps the history when no client uses it any more.
    pub fn into_inner(self) -> History {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chats that clients write to.
    pub fn open_chats(&self) -> Vec<Chat> {
        self.lock().open.clone()
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// Records the creation of an application.
    pub fn app(&self, app: &App, username: String, span: Span) {
        let mut history = self.lock();
        history.tally.created += 1;
        if history
            .apps
            .insert(app.id.clone(), (username, span))
            .is_some()
        {
            history.twice.push(app.to_string());
        }
    }

    /// Records the creation of a chat; clients write to it from now on.
    pub fn chat(&self, chat: &Chat, span: Span) {
        let mut history = self.lock();
        history.tally.created += 1;
        history.chats.entry(chat.clone()).or_default().push(span);
        history.open.push(chat.clone());
    }

    /// Records a completed write to a message.
    pub fn write(&self, text: String, write: Write) {
        let mut history = self.lock();
        match (write.span.answered, write.creates) {
            (true, true) => history.tally.created += 1,
            (true, false) => history.tally.updated += 1,
            // It may have been refused, rightly.
            (false, _) if history.chat_may_be_deleted(&write.chat) => {}
            (false, true) if write.keyed => history.tally.not_keyed += 1,
            (false, true) => history.tally.not_created += 1,
            (false, false) => history.tally.not_updated += 1,
        }
        if let Some(number) = write.number {
            let key = Key {
                chat: write.chat.clone(),
                number,
            };
            // After a store lost data, the number of a deleted message can be given to another one.
            let is_earlier = |deletion: &Span| deletion.ended <= write.span.sent;
            if write.creates && history.deletions.get(&key).is_some_and(is_earlier) {
                history.deletions.remove(&key);
            }
            history.by_key.entry(key).or_default().push(text.clone());
        }
        history.writes.insert(text, write);
    }

    /// Records a completed deletion of a message.
    pub fn deletion(&self, key: Key, span: Span) {
        let mut history = self.lock();
        match span.answered {
            true => history.tally.updated += 1,
            false if history.chat_may_be_deleted(&key.chat) => {}
            false => history.tally.not_updated += 1,
        }
        history.deletions.insert(key, span);
    }

    /// Records that a message can be deleted from now on, by discarding the dead letter of its creation.
    pub fn may_be_discarded(&self, key: Key, sent: Instant) {
        let span = Span::ending_now(sent, false);
        self.lock().deletions.entry(key).or_insert(span);
    }

    /// Records that the dead letter of a message's creation was discarded, which deletes the message.
    pub fn deleted_by_discard(&self, key: Key, span: Span) {
        self.lock().deletions.insert(key, span);
    }

    /// Records that the deletion of a chat is about to be requested, and stops writing to it, if more than `kept` chats are
    /// written to. Returns when the chat was created.
    pub fn begin_chat_deletion(&self, chat: &Chat, kept: usize) -> Option<Instant> {
        let mut history = self.lock();
        if history.open.len() <= kept || !history.open.contains(chat) {
            return None;
        }
        let created = history.chats.get(chat)?.last()?.sent;
        history.open.retain(|open| open != chat);
        let span = Span::ending_now(Instant::now(), false);
        history.chat_deletions.insert(chat.clone(), span);
        Some(created)
    }

    /// Records the outcome of the deletion of a chat.
    pub fn end_chat_deletion(&self, chat: &Chat, span: Span) {
        let mut history = self.lock();
        match span.answered {
            true => history.tally.updated += 1,
            false => history.tally.not_updated += 1,
        }
        history.chat_deletions.insert(chat.clone(), span);
    }

    /// Stops writing to a chat, because the API returned 404 for it.
    pub fn close(&self, chat: &Chat) {
        self.lock().open.retain(|open| open != chat);
    }
}

/// Rule for the acknowledged writes that must still exist.
#[derive(Debug, Default)]
pub struct DurableWrites {
    /// Writes sent before this time may be lost, because the store that held them lost its data,
    since: Option<Instant>,
    /// unless their text was already stored,
    texts: HashSet<String>,
    /// or their chat was.
    chats: HashSet<Chat>,
}

impl DurableWrites {
    /// After a store was emptied at that time; these texts and chats were stored elsewhere.
    pub fn after(emptied: Instant, texts: HashSet<String>, chats: HashSet<Chat>) -> Self {
        Self {
            since: Some(emptied),
            texts,
            chats,
        }
    }

    /// Tells whether an acknowledged write sent at that time must still exist.
    pub fn since(&self, sent: Instant) -> bool {
        self.since.is_none_or(|since| sent > since)
    }

    fn is(&self, text: &str, write: &Write) -> bool {
        write.span.answered && self.since(write.span.sent) || self.texts.contains(text)
    }
}

impl History {
    /// Tells whether the number of a message was given out before a store lost its data. `text` is its stored text.
    pub fn was_given_before(&self, key: &Key, text: &str, durable: &DurableWrites) -> bool {
        let texts = self.by_key.get(key).into_iter().flatten();
        let texts = texts.map(String::as_str).chain([text]);
        let mut writes = texts.filter_map(|text| self.writes.get(text));
        writes.any(|write| !durable.since(write.span.sent))
    }

    /// When the first of several messages with this number was created. Until a client notices that its message was lost
    /// with a store, it writes to the message of another client that has the same number.
    pub fn shared_since(&self, key: &Key) -> Option<Instant> {
        let texts = self.by_key.get(key).into_iter().flatten();
        let writes = texts.filter_map(|text| self.writes.get(text));
        let mut creations = writes.filter(|write| write.creates);
        let first = creations.next()?;
        creations.next().map(|_| first.span.sent)
    }

    /// The writes to a message, for the report.
    pub fn describe(&self, key: &Key) -> String {
        let texts = self.by_key.get(key).into_iter().flatten();
        let writes = texts.filter_map(|text| self.writes.get(text));
        let writes = writes.map(|write| {
            let kind = if write.creates { "creation" } else { "update" };
            let answered = if write.span.answered {
                "answered"
            } else {
                "failed"
            };
            let (sent, ended) = (write.span.sent.elapsed(), write.span.ended.elapsed());
            format!("{kind}, sent {sent:.1?} ago, {answered} {ended:.1?} ago")
        });
        writes.collect::<Vec<_>>().join("; ")
    }

    /// The writes to a message that must still exist.
    fn kept<'a>(
        &'a self,
        key: &Key,
        durable: &'a DurableWrites,
    ) -> impl Iterator<Item = &'a Write> {
        let texts = self.by_key.get(key).into_iter().flatten();
        texts
            .filter_map(|text| Some((text, self.writes.get(text)?)))
            .filter(|(text, write)| durable.is(text, write))
            .map(|(_, write)| write)
    }

    /// The messages that must still exist.
    pub fn keys(&self, durable: &DurableWrites) -> HashSet<&Key> {
        let keys = self.by_key.keys();
        keys.filter(|key| self.kept(key, durable).next().is_some())
            .filter(|key| !self.may_be_deleted(key))
            .collect()
    }

    /// Tells whether the deletion of a message, or of its chat, was requested.
    pub fn may_be_deleted(&self, key: &Key) -> bool {
        self.deletions.contains_key(key) || self.chat_may_be_deleted(&key.chat)
    }

    /// Tells whether the deletion of a chat was requested.
    pub fn chat_may_be_deleted(&self, chat: &Chat) -> bool {
        self.chat_deletions.contains_key(chat)
    }

    /// Tells whether a chat must be deleted.
    pub fn chat_is_deleted(&self, chat: &Chat, durable: &DurableWrites) -> bool {
        let deletion = self.chat_deletions.get(chat);
        deletion.is_some_and(|deletion| deletion.answered && durable.since(deletion.sent))
    }

    /// Tells whether a message must be deleted.
    fn is_deleted(&self, key: &Key, durable: &DurableWrites) -> bool {
        let deletion = self.deletions.get(key);
        self.chat_is_deleted(&key.chat, durable)
            || deletion.is_some_and(|deletion| deletion.answered && durable.since(deletion.sent))
    }

    /// The acknowledged messages that may be lost.
    pub fn at_risk(&self, durable: &DurableWrites) -> HashSet<&Key> {
        let keys = self.by_key.keys();
        keys.filter(|key| self.kept(key, durable).next().is_none())
            .filter(|key| !self.may_be_deleted(key))
            .filter(|key| self.kept(key, &DurableWrites::default()).next().is_some())
            .collect()
    }

    /// Tells whether a chat must still exist.
    pub fn chat_kept(&self, chat: &Chat, durable: &DurableWrites) -> bool {
        self.chat_known(chat, durable) && !self.chat_may_be_deleted(chat)
    }

    /// Tells whether a chat must still be known, deleted or not.
    pub fn chat_known(&self, chat: &Chat, durable: &DurableWrites) -> bool {
        let mut spans = self.chats.get(chat).into_iter().flatten();
        durable.chats.contains(chat) || spans.any(|span| durable.since(span.sent))
    }

    /// Tells whether the number of a chat was also given to another chat.
    pub fn chat_given_twice(&self, chat: &Chat, durable: &DurableWrites) -> bool {
        let spans = self.chats.get(chat).map_or(&[][..], Vec::as_slice);
        let later = spans.iter().filter(|span| durable.since(span.sent)).count();
        later > 1 || spans.len() > 1 && durable.chats.contains(chat)
    }

    /// Tells whether the number of a message was also given to another message.
    pub fn given_twice(&self, key: &Key, durable: &DurableWrites) -> bool {
        let creations: Vec<_> = self
            .kept(key, durable)
            .filter(|write| write.creates)
            .collect();
        let of_another = |creation: &&Write| {
            self.kept(key, durable)
                .any(|write| write.span.ended < creation.span.sent)
        };
        creations.len() > 1 || creations.iter().any(of_another)
    }

    /// Checks the text of a message. `None` means that it is allowed: the text of the last acknowledged write, or of an
    /// unacknowledged write sent after it.
    pub fn violation(&self, key: &Key, text: &str, durable: &DurableWrites) -> Option<Violation> {
        let Some(write) = self.writes.get(text) else {
            return Some(Violation::Unknown);
        };
        if self.is_deleted(key, durable) {
            return Some(Violation::Deleted);
        }
        let number = write.number.unwrap_or(key.number);
        if write.chat != key.chat || number != key.number {
            return Some(Violation::Elsewhere);
        }
        if write.number.is_none() && self.kept(key, durable).any(|write| write.creates) {
            return Some(Violation::Taken);
        }
        let newer = self
            .kept(key, durable)
            .find(|newer| newer.span.sent >= write.span.ended);
        newer.map(|_| Violation::Old)
    }
}

/// Why a text is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// No client wrote it.
    Unknown,
    /// It belongs to another message.
    Elsewhere,
    /// It belongs to an unacknowledged creation, but its number was returned for another one.
    Taken,
    /// A newer write was acknowledged.
    Old,
    /// Its deletion was acknowledged.
    Deleted,
}
