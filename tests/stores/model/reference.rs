//! Reference model of the queue: plain data in memory, no store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use confab::{
    domain::{
        AppId, Application, Change, Chat, ChatKey, Kind, Message, MessageKey, Revision, Target,
        Timestamp, Write,
    },
    stores::{JobState, Recovered},
};

/// The limit of waiting, leased and delayed jobs.
pub const QUEUE_DEPTH: usize = 12;
/// The limit of dead letters.
pub const DEAD_LETTERS: usize = 3;

/// Differences between the backends that the contract allows.
#[derive(Debug, Clone, Copy)]
pub struct BackendRules {
    /// Jobs are claimed strictly by age; otherwise released jobs come first.
    pub by_age: bool,
    /// A new run of the program recovers the jobs of the previous run at once.
    pub exclusive: bool,
    /// An acknowledged update shows for a time that its message exists. Nothing is stored here, so that nothing else does.
    pub keeps_marks: bool,
}

/// The expected result of enqueueing a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    Full,
    Missing,
    Taken,
    Number(u64),
}

/// A write that is not stored yet.
#[derive(Debug, Clone)]
pub struct ModelJob {
    pub change: Change,
    pub kind: Kind,
    pub state: JobState,
    pub tries: u32,
    pub crashes: u32,
    /// The creation time of its message, if known.
    since: Option<Timestamp>,
    /// A newer write to the same message is stored.
    superseded: bool,
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

/// The reference model of the queue.
#[derive(Debug)]
pub struct ReferenceModel {
    rules: BackendRules,
    run: usize,
    apps: BTreeMap<AppId, u64>,
    chats: BTreeMap<ChatKey, u64>,
    pub jobs: BTreeMap<Revision, ModelJob>,
    waiting: BTreeMap<Kind, VecDeque<Revision>>,
    isolated: BTreeMap<Kind, VecDeque<Revision>>,
    /// Delayed jobs that are due, in the order in which they failed.
    due: BTreeMap<Kind, Vec<Revision>>,
    paused: BTreeSet<Kind>,
    claims: Vec<Claim>,
    marks: BTreeSet<MessageKey>,
}

impl ReferenceModel {
    pub fn new(rules: BackendRules) -> Self {
        Self {
            rules,
            run: 0,
            apps: BTreeMap::new(),
            chats: BTreeMap::new(),
            jobs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            isolated: BTreeMap::new(),
            due: BTreeMap::new(),
            paused: BTreeSet::new(),
            claims: Vec::new(),
            marks: BTreeSet::new(),
        }
    }

    pub fn is_dead(&self, id: Revision) -> bool {
        let job = self.jobs.get(&id);
        job.is_some_and(|job| job.state == JobState::Dead)
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

    /// The expected result of enqueueing this write.
    pub fn expect(&self, write: &Write) -> Accepted {
        let dead = self.in_state(JobState::Dead).len();
        let is_full = dead >= DEAD_LETTERS || self.jobs.len() - dead >= QUEUE_DEPTH;
        match self.expect_with_capacity(write) {
            Accepted::Missing => Accepted::Missing,
            _ if is_full => Accepted::Full,
            expected => expected,
        }
    }

    fn expect_with_capacity(&self, write: &Write) -> Accepted {
        let next =
            |given: Option<&u64>| given.map_or(Accepted::Missing, |n| Accepted::Number(n + 1));
        let Target { app, number, .. } = write.target;
        let chat = write.target.chat();
        match write.kind {
            Kind::CreateApplication if self.apps.contains_key(&app) => Accepted::Taken,
            Kind::CreateApplication => Accepted::Number(0),
            Kind::CreateChat => next(self.apps.get(&app)),
            Kind::CreateMessage => next(self.chats.get(&chat)),
            Kind::UpdateMessage => {
                let key = MessageKey { chat, number };
                match self.writes_to(key).next().is_some() || self.marks.contains(&key) {
                    true => Accepted::Number(number),
                    false => Accepted::Missing,
                }
            }
            Kind::DeleteMessage | Kind::DeleteChat | Kind::DeleteApplication => {
                unreachable!("the model deletes nothing")
            }
        }
    }

    /// Adds an accepted write.
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
                    deleted_at: None,
                })
            }
            Kind::CreateChat => {
                self.apps.insert(app, number);
                let key = ChatKey { app, number };
                self.chats.insert(key, 0);
                Change::Chat(Chat {
                    key,
                    messages_count: None,
                    deleted_up_to: 0,
                    revision,
                    created_at: at,
                    deleted_at: None,
                })
            }
            Kind::CreateMessage => {
                self.chats.insert(chat, number);
                Change::Message(Message {
                    key: MessageKey { chat, number },
                    text,
                    data: write.data.clone(),
                    sender: write.sender.clone(),
                    revision,
                    created_at: at,
                    updated_at: None,
                    deleted_at: None,
                })
            }
            Kind::UpdateMessage => {
                let key = MessageKey { chat, number };
                let first = self.writes_to(key).next();
                since = first.and_then(|first| first.since);
                let first = first.and_then(|first| first.change.clone().into_message());
                Change::Message(Message {
                    key,
                    text,
                    data: write.data.clone(),
                    sender: first.and_then(|first| first.sender),
                    revision,
                    created_at: since.unwrap_or(at),
                    updated_at: Some(at),
                    deleted_at: None,
                })
            }
            Kind::DeleteMessage | Kind::DeleteChat | Kind::DeleteApplication => {
                unreachable!("the model deletes nothing")
            }
        };
        let kind = write.kind;
        let job = ModelJob {
            change,
            kind,
            state: JobState::Waiting,
            tries: 0,
            crashes: 0,
            since,
            superseded: false,
        };
        self.jobs.insert(revision, job);
        self.waiting.entry(kind).or_default().push_back(revision);
    }

    /// An application as it can be read, and the number of its chats.
    pub fn application(&self, id: AppId) -> Option<(Application, u64)> {
        let creation = self.jobs.values().find_map(|job| match &job.change {
            Change::Application(application) if application.id == id => Some(application.clone()),
            _ => None,
        });
        Some((creation?, *self.apps.get(&id)?))
    }

    /// The chats of an application as they can be read.
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

    /// The messages of a chat as they can be read.
    pub fn messages(&self, chat: ChatKey) -> Vec<Message> {
        let given = self.chats.get(&chat).copied().unwrap_or(0);
        let newest = (1..=given)
            .filter_map(|number| self.writes_to(MessageKey { chat, number }).last())
            .filter_map(|job| job.change.clone().into_message());
        newest.collect()
    }

    /// The readable writes to a message, the oldest first.
    fn writes_to(&self, key: MessageKey) -> impl Iterator<Item = &ModelJob> {
        let jobs = self.jobs.values().filter(|job| !job.superseded);
        jobs.filter(
            move |job| matches!(&job.change, Change::Message(message) if message.key == key),
        )
    }

    /// The jobs that a claim of at most `limit` must return, in no order.
    pub fn claim(&mut self, kind: Kind, limit: usize) -> BTreeSet<Revision> {
        if self.paused.contains(&kind) {
            return BTreeSet::new();
        }
        let due = self.due.entry(kind).or_default();
        let moved = if self.rules.by_age {
            due.len()
        } else {
            due.len().min(limit)
        };
        let back = due.drain(..moved).collect();
        self.requeue(kind, back);
        let held: BTreeSet<Revision> = match self.isolated.entry(kind).or_default().pop_front() {
            Some(isolated) => [isolated].into(),
            None => {
                let waiting = self.waiting.entry(kind).or_default();
                waiting.drain(..limit.min(waiting.len())).collect()
            }
        };
        if held.is_empty() {
            return held;
        }
        for id in &held {
            self.set_state(*id, JobState::Leased);
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

    /// Tells whether a lease is still valid.
    pub fn is_valid(&self, claim: usize) -> bool {
        !self.claims[claim].over
    }

    /// Tells whether a valid lease still holds this job.
    pub fn holds(&self, claim: usize, id: Revision) -> bool {
        self.is_valid(claim) && self.claims[claim].held.contains(&id)
    }

    /// Expires a lease if it is still valid.
    pub fn expire(&mut self, claim: usize) {
        self.claims[claim].expired = true;
    }

    /// Removes stored jobs of a valid lease.
    pub fn acknowledge(&mut self, claim: usize, ids: &[Revision]) {
        for id in ids {
            if !self.claims[claim].held.remove(id) {
                continue;
            }
            let Some(job) = self.jobs.remove(id) else {
                continue;
            };
            let Change::Message(stored) = job.change else {
                continue;
            };
            if job.kind == Kind::UpdateMessage && self.rules.keeps_marks {
                self.marks.insert(stored.key);
            }
            for (_, older) in self.jobs.range_mut(..*id) {
                if matches!(&older.change, Change::Message(message) if message.key == stored.key) {
                    older.superseded = true;
                }
            }
        }
        self.end_if_empty(claim);
    }

    /// Fails a leased job: `None` makes it a dead letter, otherwise it is due at once or never.
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

    /// Releases the jobs of a valid lease.
    pub fn release(&mut self, claim: usize) {
        let Claim {
            kind, held, over, ..
        } = &mut self.claims[claim];
        *over = true;
        let (kind, held) = (*kind, std::mem::take(held));
        self.requeue(kind, held.into_iter().collect());
    }

    /// Ends the run of the program and begins another.
    pub fn crash(&mut self) {
        self.run += 1;
    }

    /// Recovers the jobs of expired leases.
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
            if *over || !(*expired || self.rules.exclusive && *run != self.run) {
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
            self.requeue(kind, again);
            claims.push(recovered);
        }
        Recovered::sum(claims)
    }

    /// Moves a dead letter or delayed job back to its queue.
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
        self.requeue(kind, vec![id]);
        true
    }

    /// Puts jobs back before those that were never claimed.
    fn requeue(&mut self, kind: Kind, mut ids: Vec<Revision>) {
        ids.sort_unstable();
        for id in ids.into_iter().rev() {
            self.set_state(id, JobState::Waiting);
            let isolated = self.jobs[&id].crashes >= 2;
            let queues = if isolated {
                &mut self.isolated
            } else {
                &mut self.waiting
            };
            let queue = queues.entry(kind).or_default();
            queue.push_front(id);
            if self.rules.by_age {
                queue.make_contiguous().sort_unstable();
            }
        }
    }

    fn set_state(&mut self, id: Revision, state: JobState) {
        self.jobs.get_mut(&id).expect("a job").state = state;
    }

    fn end_if_empty(&mut self, claim: usize) {
        let claim = &mut self.claims[claim];
        claim.over |= claim.held.is_empty();
    }
}
