//! What a queue does, in plain data and without a store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use confab::{
    domain::{
        AppId, Application, Change, Chat, ChatKey, Kind, Message, MessageKey, Revision, Target,
        Timestamp, Write,
    },
    stores::{JobState, Recovered},
};

/// Writes that may be waiting, leased and delayed.
pub const QUEUE_DEPTH: usize = 12;
/// Dead letters that may be kept.
pub const DEAD_LETTERS: usize = 3;

/// What the two backings do differently, both within their promise.
#[derive(Debug, Clone, Copy)]
pub struct Ways {
    /// Whether what waits is claimed strictly by age, or what was given back last comes first.
    pub by_age: bool,
    /// Whether a new run of the program takes back at once what the one before it held.
    pub sole: bool,
}

/// What accepting a write comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    Full,
    Missing,
    Taken,
    Number(u64),
}

/// A write that is not stored yet.
#[derive(Debug, Clone)]
pub struct PlainJob {
    pub change: Change,
    pub kind: Kind,
    pub state: JobState,
    pub tries: u32,
    pub crashes: u32,
    /// Since when its message exists, as far as is known.
    since: Option<Timestamp>,
    /// A newer write to the same thing is stored.
    overtaken: bool,
}

/// A claim.
#[derive(Debug)]
struct Claim {
    kind: Kind,
    held: BTreeSet<Revision>,
    over: bool,
    expired: bool,
    run: usize,
}

/// The whole queue.
#[derive(Debug)]
pub struct Plain {
    ways: Ways,
    run: usize,
    apps: BTreeMap<AppId, u64>,
    chats: BTreeMap<ChatKey, u64>,
    pub jobs: BTreeMap<Revision, PlainJob>,
    waiting: BTreeMap<Kind, VecDeque<Revision>>,
    alone: BTreeMap<Kind, VecDeque<Revision>>,
    /// Delayed jobs whose time has come, in the order in which they failed.
    due: BTreeMap<Kind, Vec<Revision>>,
    paused: BTreeSet<Kind>,
    claims: Vec<Claim>,
}

impl Plain {
    pub fn new(ways: Ways) -> Self {
        Self {
            ways,
            run: 0,
            apps: BTreeMap::new(),
            chats: BTreeMap::new(),
            jobs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            alone: BTreeMap::new(),
            due: BTreeMap::new(),
            paused: BTreeSet::new(),
            claims: Vec::new(),
        }
    }

    pub fn count(&self, kind: Kind, state: JobState) -> u64 {
        let jobs = self.jobs.values();
        jobs.filter(|job| job.kind == kind && job.state == state)
            .count() as u64
    }

    pub fn in_state(&self, state: JobState) -> Vec<Revision> {
        let jobs = self.jobs.iter().filter(|(_, job)| job.state == state);
        jobs.map(|(id, _)| *id).collect()
    }

    pub fn is_paused(&self, kind: Kind) -> bool {
        self.paused.contains(&kind)
    }

    pub fn pause(&mut self, kind: Kind, paused: bool) {
        if paused {
            self.paused.insert(kind);
        } else {
            self.paused.remove(&kind);
        }
    }

    /// What accepting this write is to answer.
    pub fn expect(&self, write: &Write) -> Accepted {
        let dead = self.in_state(JobState::Dead).len();
        if dead >= DEAD_LETTERS || self.jobs.len() - dead >= QUEUE_DEPTH {
            return Accepted::Full;
        }
        let next =
            |given: Option<&u64>| given.map_or(Accepted::Missing, |n| Accepted::Number(n + 1));
        let Target { app, number, .. } = write.target;
        let chat = write.target.chat();
        match write.kind {
            Kind::CreateApplication if self.apps.contains_key(&app) => Accepted::Taken,
            Kind::CreateApplication => Accepted::Number(0),
            Kind::CreateChat => next(self.apps.get(&app)),
            Kind::CreateMessage => next(self.chats.get(&chat)),
            Kind::UpdateMessage => match self.chats.get(&chat) {
                Some(given) if number <= *given => Accepted::Number(number),
                _ => Accepted::Missing,
            },
        }
    }

    /// The write was accepted.
    pub fn add(&mut self, write: &Write, number: u64, revision: Revision, at: Timestamp) {
        let mut since = Some(at);
        let Target { app, .. } = write.target;
        let chat = write.target.chat();
        let text = write.text.clone().unwrap_or_default();
        let change = match write.kind {
            Kind::CreateApplication => {
                self.apps.insert(app, 0);
                Change::Application(Application {
                    id: app,
                    username: text,
                    revision,
                    created_at: at,
                })
            }
            Kind::CreateChat => {
                self.apps.insert(app, number);
                let key = ChatKey { app, number };
                self.chats.insert(key, 0);
                Change::Chat(Chat {
                    key,
                    messages_count: None,
                    revision,
                    created_at: at,
                })
            }
            Kind::CreateMessage => {
                self.chats.insert(chat, number);
                Change::Message(Message {
                    key: MessageKey { chat, number },
                    text,
                    revision,
                    created_at: at,
                    updated_at: None,
                })
            }
            Kind::UpdateMessage => {
                let key = MessageKey { chat, number };
                since = self.writes_to(key).next().and_then(|first| first.since);
                Change::Message(Message {
                    key,
                    text,
                    revision,
                    created_at: since.unwrap_or(at),
                    updated_at: Some(at),
                })
            }
        };
        let kind = write.kind;
        let job = PlainJob {
            change,
            kind,
            state: JobState::Waiting,
            tries: 0,
            crashes: 0,
            since,
            overtaken: false,
        };
        self.jobs.insert(revision, job);
        self.waiting.entry(kind).or_default().push_back(revision);
    }

    /// What can be read of an application, and how many chats it has been given.
    pub fn application(&self, id: AppId) -> Option<(Application, u64)> {
        let creation = self.jobs.values().find_map(|job| match &job.change {
            Change::Application(application) if application.id == id => Some(application.clone()),
            _ => None,
        });
        Some((creation?, *self.apps.get(&id)?))
    }

    /// What can be read of an application's chats.
    pub fn chats(&self, app: AppId) -> Vec<Chat> {
        let chats = self.jobs.values().filter_map(|job| match &job.change {
            Change::Chat(chat) if chat.key.app == app => Some(chat.clone()),
            _ => None,
        });
        chats.collect()
    }

    pub fn has_chat(&self, key: ChatKey) -> bool {
        self.chats.contains_key(&key)
    }

    /// What can be read of a chat's messages.
    pub fn messages(&self, chat: ChatKey) -> Vec<Message> {
        let given = self.chats.get(&chat).copied().unwrap_or(0);
        let newest = (1..=given)
            .filter_map(|number| self.writes_to(MessageKey { chat, number }).last())
            .filter_map(|job| job.change.clone().into_message());
        newest.collect()
    }

    /// The writes to a message that can be read, the oldest first.
    fn writes_to(&self, key: MessageKey) -> impl Iterator<Item = &PlainJob> {
        let jobs = self.jobs.values().filter(|job| !job.overtaken);
        jobs.filter(
            move |job| matches!(&job.change, Change::Message(message) if message.key == key),
        )
    }

    /// The jobs that a claim of at most `limit` is to give, in no order.
    pub fn claim(&mut self, kind: Kind, limit: usize) -> BTreeSet<Revision> {
        if self.paused.contains(&kind) {
            return BTreeSet::new();
        }
        let due = self.due.entry(kind).or_default();
        let moved = if self.ways.by_age {
            due.len()
        } else {
            due.len().min(limit)
        };
        let back = due.drain(..moved).collect();
        self.give_back(kind, back);
        let held: BTreeSet<Revision> = match self.alone.entry(kind).or_default().pop_front() {
            Some(alone) => [alone].into(),
            None => {
                let waiting = self.waiting.entry(kind).or_default();
                waiting.drain(..limit.min(waiting.len())).collect()
            }
        };
        if held.is_empty() {
            return held;
        }
        for id in &held {
            self.place(*id, JobState::Leased);
        }
        self.claims.push(Claim {
            kind,
            held: held.clone(),
            over: false,
            expired: false,
            run: self.run,
        });
        held
    }

    /// Whether a claim still stands.
    pub fn stands(&self, claim: usize) -> bool {
        !self.claims[claim].over
    }

    /// Whether a claim still holds this job.
    pub fn holds(&self, claim: usize, id: Revision) -> bool {
        self.stands(claim) && self.claims[claim].held.contains(&id)
    }

    /// The claim's time is over, if it still stands.
    pub fn expire(&mut self, claim: usize) {
        self.claims[claim].expired = true;
    }

    /// These jobs of a claim that stands are stored.
    pub fn acknowledge(&mut self, claim: usize, ids: &[Revision]) {
        for id in ids {
            if !self.claims[claim].held.remove(id) {
                continue;
            }
            let Some(Change::Message(stored)) = self.jobs.remove(id).map(|job| job.change) else {
                continue;
            };
            for (_, older) in self.jobs.range_mut(..*id) {
                if matches!(&older.change, Change::Message(message) if message.key == stored.key) {
                    older.overtaken = true;
                }
            }
        }
        self.end_if_empty(claim);
    }

    /// A job that a claim holds failed: it is a dead letter, or is due again at once or never.
    pub fn fail(&mut self, claim: usize, id: Revision, due: Option<bool>) {
        self.claims[claim].held.remove(&id);
        let job = self.jobs.get_mut(&id).expect("a job that is held");
        job.tries += 1;
        job.state = match due {
            None => JobState::Dead,
            Some(_) => JobState::Delayed,
        };
        if due == Some(true) {
            self.due.entry(job.kind).or_default().push(id);
        }
        self.end_if_empty(claim);
    }

    /// What a claim that stands holds is given back.
    pub fn release(&mut self, claim: usize) {
        let Claim {
            kind, held, over, ..
        } = &mut self.claims[claim];
        *over = true;
        let (kind, held) = (*kind, std::mem::take(held));
        self.give_back(kind, held.into_iter().collect());
    }

    /// The program dies, and another run of it begins.
    pub fn crash(&mut self) {
        self.run += 1;
    }

    /// What claims held that are over is taken back.
    pub fn recover(&mut self) -> Vec<Recovered> {
        let mut claims = Vec::new();
        for claim in 0..self.claims.len() {
            let Claim {
                kind,
                held,
                over,
                expired,
                run,
            } = &mut self.claims[claim];
            if *over || !(*expired || self.ways.sole && *run != self.run) {
                continue;
            }
            *over = true;
            let (kind, held) = (*kind, std::mem::take(held));
            let mut recovered = Recovered {
                kind,
                jobs: held.len(),
                dead: 0,
            };
            let mut again = Vec::new();
            for id in held {
                let job = self.jobs.get_mut(&id).expect("a job that is held");
                job.crashes += 1;
                if job.crashes == 3 {
                    job.state = JobState::Dead;
                    recovered.dead += 1;
                } else {
                    again.push(id);
                }
            }
            self.give_back(kind, again);
            claims.push(recovered);
        }
        Recovered::sum(claims)
    }

    /// A dead letter or delayed job waits again.
    pub fn retry(&mut self, id: Revision) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else {
            return false;
        };
        if !matches!(job.state, JobState::Dead | JobState::Delayed) {
            return false;
        }
        (job.tries, job.crashes) = (0, 0);
        let kind = job.kind;
        self.due.entry(kind).or_default().retain(|due| *due != id);
        self.give_back(kind, vec![id]);
        true
    }

    /// A dead letter is forgotten.
    pub fn kill(&mut self, id: Revision) -> bool {
        let dead = self
            .jobs
            .get(&id)
            .is_some_and(|job| job.state == JobState::Dead);
        dead && self.jobs.remove(&id).is_some()
    }

    /// Jobs wait again, before those that nobody had yet.
    fn give_back(&mut self, kind: Kind, mut ids: Vec<Revision>) {
        ids.sort_unstable();
        for id in ids.into_iter().rev() {
            self.place(id, JobState::Waiting);
            let alone = self.jobs[&id].crashes >= 2;
            let queues = if alone {
                &mut self.alone
            } else {
                &mut self.waiting
            };
            let queue = queues.entry(kind).or_default();
            queue.push_front(id);
            if self.ways.by_age {
                queue.make_contiguous().sort_unstable();
            }
        }
    }

    fn place(&mut self, id: Revision, state: JobState) {
        self.jobs.get_mut(&id).expect("a job").state = state;
    }

    fn end_if_empty(&mut self, claim: usize) {
        let claim = &mut self.claims[claim];
        claim.over |= claim.held.is_empty();
    }
}
