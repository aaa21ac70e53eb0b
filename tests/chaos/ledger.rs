//! What the clients did and were told.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::support::{App, Chat};

/// A message, as the API names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The chat it is in.
    pub chat: Chat,
    /// Its number there.
    pub number: u64,
}

/// When a request was made, and what it came to.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Before its first byte was sent.
    pub sent: Instant,
    /// The answer was here, or would not come any more.
    pub ended: Instant,
    /// Answered with success. Otherwise it may have happened or not.
    pub answered: bool,
}

/// One creation or update of a message.
#[derive(Debug)]
pub struct Write {
    /// The chat it went to.
    pub chat: Chat,
    /// The message's number; of a creation that was not answered nobody knows it.
    pub number: Option<u64>,
    /// Rather than an update.
    pub creates: bool,
    /// When.
    pub span: Span,
}

/// A read, right after a write of one's own, that should have seen it and did not.
#[derive(Debug)]
pub struct Misread {
    /// Of what.
    pub key: Key,
    /// When the newest write to it was sent that was answered before the read.
    pub written: Instant,
    /// Nothing was found, rather than another text.
    pub missing: bool,
    /// For people.
    pub seen: String,
}

/// All of it. A message is only ever updated by the client that made it, one write after the other.
#[derive(Debug, Default)]
pub struct Book {
    /// Applications, with their usernames.
    pub apps: BTreeMap<String, (String, Span)>,
    /// Chats, each with the creations that were answered with success: one.
    pub chats: HashMap<Chat, Vec<Span>>,
    /// Every write to a message, by its text.
    pub writes: HashMap<String, Write>,
    /// The texts that went to each message whose number is known, in the order of their answers.
    pub by_key: HashMap<Key, Vec<String>>,
    /// Applications whose ids were given in more than one answer.
    pub twice: Vec<String>,
    /// Reads that did not see what was written.
    pub misreads: Vec<Misread>,
    /// Answers that nobody should get: a 500, say; or a 404 for what is there, with when that was sent.
    pub strange: Vec<(String, Option<Instant>)>,
    /// Chats that the clients write to.
    open: Vec<Chat>,
    /// What went well, what did not.
    pub tally: Tally,
}

/// How many requests came to what.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Creations that succeeded.
    pub created: usize,
    /// Updates that succeeded.
    pub updated: usize,
    /// Reads that succeeded.
    pub read: usize,
    /// Creations of messages that did not.
    pub not_created: usize,
    /// Updates that did not.
    pub not_updated: usize,
    /// Reads that did not.
    pub not_read: usize,
}

impl Tally {
    /// Those that succeeded.
    pub fn answered(&self) -> usize {
        self.created + self.updated + self.read
    }

    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            created: self.created - before.created,
            updated: self.updated - before.updated,
            read: self.read - before.read,
            not_created: self.not_created - before.not_created,
            not_updated: self.not_updated - before.not_updated,
            not_read: self.not_read - before.not_read,
        }
    }
}

/// The book, for many to write in.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

impl Ledger {
    /// To look into it.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is written.
    pub fn close_book(self) -> Book {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chats that can be written to.
    pub fn open_chats(&self) -> Vec<Chat> {
        self.book().open.clone()
    }

    /// What came to what so far.
    pub fn tally(&self) -> Tally {
        self.book().tally
    }

    /// An application was created.
    pub fn app(&self, app: &App, username: String, span: Span) {
        let mut book = self.book();
        book.tally.created += 1;
        if book.apps.insert(app.id.clone(), (username, span)).is_some() {
            book.twice.push(app.to_string());
        }
    }

    /// A chat was created, and is written to from now on.
    pub fn chat(&self, chat: &Chat, span: Span) {
        let mut book = self.book();
        book.tally.created += 1;
        book.chats.entry(chat.clone()).or_default().push(span);
        book.open.push(chat.clone());
    }

    /// A write to a message ended.
    pub fn write(&self, text: String, write: Write) {
        let mut book = self.book();
        match (write.span.answered, write.creates) {
            (true, true) => book.tally.created += 1,
            (true, false) => book.tally.updated += 1,
            (false, true) => book.tally.not_created += 1,
            (false, false) => book.tally.not_updated += 1,
        }
        if let Some(number) = write.number {
            let chat = write.chat.clone();
            let texts = book.by_key.entry(Key { chat, number }).or_default();
            texts.push(text.clone());
        }
        book.writes.insert(text, write);
    }

    /// A chat is not there any more, as the API says.
    pub fn close(&self, chat: &Chat) {
        self.book().open.retain(|open| open != chat);
    }
}

/// Which writes must have been kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// Not what was sent before this, as what held it lost its memory then …
    since: Option<Instant>,
    /// … unless it is one of these texts, which were stored already …
    texts: HashSet<String>,
    /// … or one of these chats.
    chats: HashSet<Chat>,
}

impl Kept {
    /// After a memory was emptied, but not what held these texts and chats.
    pub fn after(emptied: Instant, texts: HashSet<String>, chats: HashSet<Chat>) -> Self {
        Self {
            since: Some(emptied),
            texts,
            chats,
        }
    }

    /// Whether what was sent at that time, and answered with success, was kept for certain.
    pub fn since(&self, sent: Instant) -> bool {
        self.since.is_none_or(|since| sent > since)
    }

    fn is(&self, text: &str, write: &Write) -> bool {
        write.span.answered && self.since(write.span.sent) || self.texts.contains(text)
    }
}

impl Book {
    /// The writes to a message that were kept for certain.
    fn kept<'a>(&'a self, key: &Key, kept: &'a Kept) -> impl Iterator<Item = &'a Write> {
        let texts = self.by_key.get(key).into_iter().flatten();
        texts
            .filter_map(|text| Some((text, self.writes.get(text)?)))
            .filter(|(text, write)| kept.is(text, write))
            .map(|(_, write)| write)
    }

    /// The messages that were kept for certain.
    pub fn keys(&self, kept: &Kept) -> HashSet<&Key> {
        let keys = self.by_key.keys();
        keys.filter(|key| self.kept(key, kept).next().is_some())
            .collect()
    }

    /// The messages of which it is not certain, though they were answered with success.
    pub fn at_risk(&self, kept: &Kept) -> HashSet<&Key> {
        let keys = self.by_key.keys();
        keys.filter(|key| self.kept(key, kept).next().is_none())
            .filter(|key| self.kept(key, &Kept::default()).next().is_some())
            .collect()
    }

    /// Whether a chat was kept for certain.
    pub fn chat_kept(&self, chat: &Chat, kept: &Kept) -> bool {
        let mut spans = self.chats.get(chat).into_iter().flatten();
        kept.chats.contains(chat) || spans.any(|span| kept.since(span.sent))
    }

    /// Whether a chat's number was given to another one too.
    pub fn chat_given_twice(&self, chat: &Chat, kept: &Kept) -> bool {
        let spans = self.chats.get(chat).map_or(&[][..], Vec::as_slice);
        let later = spans.iter().filter(|span| kept.since(span.sent)).count();
        later > 1 || spans.len() > 1 && kept.chats.contains(chat)
    }

    /// Whether a message's number was given to another one too.
    pub fn given_twice(&self, key: &Key, kept: &Kept) -> bool {
        let creations: Vec<_> = self.kept(key, kept).filter(|write| write.creates).collect();
        let of_another = |creation: &&Write| {
            self.kept(key, kept)
                .any(|write| write.span.ended < creation.span.sent)
        };
        creations.len() > 1 || creations.iter().any(of_another)
    }

    /// What is wrong with a message holding this text; `None` if it may: it is the last one that was answered with success,
    /// or one that was not and was sent after that.
    pub fn objection(&self, key: &Key, text: &str, kept: &Kept) -> Option<Objection> {
        let Some(write) = self.writes.get(text) else {
            return Some(Objection::Unknown);
        };
        let number = write.number.unwrap_or(key.number);
        if write.chat != key.chat || number != key.number {
            return Some(Objection::Elsewhere);
        }
        if write.number.is_none() && self.kept(key, kept).any(|write| write.creates) {
            return Some(Objection::Taken);
        }
        let newer = self
            .kept(key, kept)
            .find(|newer| newer.span.sent >= write.span.ended);
        newer.map(|_| Objection::Old)
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// Nobody wrote it.
    Unknown,
    /// It is another message's.
    Elsewhere,
    /// It is of a creation that was not answered, under a number that another one was answered with.
    Taken,
    /// A newer one was answered.
    Old,
}
