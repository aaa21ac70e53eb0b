//! The one thread that writes.
//!
//! SQLite has one writer at a time, and a commit costs a wait for the disk. So everything that is written goes to one
//! thread. It takes all accepts that wait and commits them together: the more come, the more share a wait. A worker's
//! transaction has its turn between two such groups, one at a time, so that accepts never wait for more than one.

use std::{
    collections::VecDeque,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::{
    accept::{Draft, Limits, accept_all},
    connection::{Place, Role, Slot},
    error::{Outcome, failed, unavailable},
};
use crate::stores::{Acceptance, Error, Result};

/// Accepts that one transaction holds at most: a few milliseconds' worth.
const GROUP: usize = 500;

/// What may wait for the thread before who asks has to wait to be let in.
const WAITING: usize = 2000;

/// What a worker's transaction should not take.
const LONG: Duration = Duration::from_millis(20);

/// What the thread is asked to do.
enum Command {
    Accept(Waiting),
    Work(Box<dyn FnOnce(&mut Slot) + Send>),
}

/// A write that waits to be accepted, and who waits with it.
struct Waiting {
    draft: Draft,
    answer: oneshot::Sender<Result<Acceptance>>,
}

/// Whoever holds this can write.
pub(super) struct Writer {
    place: Place,
    /// `None` only while it is dropped.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; the file is opened when first needed.
    pub fn start(place: &Place, limits: Limits) -> Result<Self> {
        let (commands, received) = mpsc::channel(WAITING);
        let slot = Slot::new(place, Role::Writes);
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write(received, slot, limits))
            .map_err(|error| failed(format!("cannot start the writer's thread: {error}")))?;
        Ok(Self {
            place: place.clone(),
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Accepts a write, together with all that wait by then.
    pub async fn accept(&self, draft: Draft) -> Result<Acceptance> {
        let (answer, answered) = oneshot::channel();
        self.ask(Command::Accept(Waiting { draft, answer }), answered)
            .await
    }

    /// Runs something on the writing connection, after the accepts that wait. Whoever waits no more finds it not begun,
    /// or carried out.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work = Command::Work(Box::new(move |slot| {
            if !answer.is_closed() {
                // Nobody waits any more: whoever asked will look again.
                let _ = answer.send(slot.run(work));
            }
        }));
        self.ask(work, answered).await
    }

    async fn ask<T>(&self, command: Command, answered: oneshot::Receiver<Result<T>>) -> Result<T> {
        let asked = async {
            let commands = self
                .commands
                .as_ref()
                .ok_or_else(|| failed("it is ending"))?;
            let sent = commands.send(command).await;
            sent.map_err(|_| failed("the writer's thread is gone"))?;
            answered
                .await
                .map_err(|_| failed("the writer's thread died over this"))?
        };
        let timeout = self.place.timeout;
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(unavailable(format!(
                "{}: the disk does not keep up: no answer within {timeout:?}",
                self.place.name()
            ))),
        }
    }
}

impl Drop for Writer {
    /// Waits until what was asked for is written and the file closed.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // It has caught its panics; there is nobody to tell of another.
            let _ = thread.join();
        }
    }
}

fn write(mut commands: mpsc::Receiver<Command>, mut slot: Slot, limits: Limits) {
    let mut accepts = Vec::new();
    let mut work = VecDeque::new();
    loop {
        if accepts.is_empty() && work.is_empty() {
            match commands.blocking_recv() {
                Some(Command::Accept(waiting)) => accepts.push(waiting),
                Some(Command::Work(next)) => work.push_back(next),
                None => break,
            }
        }
        while accepts.len() < GROUP {
            match commands.try_recv() {
                Ok(Command::Accept(waiting)) => accepts.push(waiting),
                Ok(Command::Work(next)) => work.push_back(next),
                Err(_) => break,
            }
        }
        if !accepts.is_empty() {
            accept_group(&mut slot, &limits, std::mem::take(&mut accepts));
        }
        if let Some(next) = work.pop_front() {
            let began = Instant::now();
            next(&mut slot);
            let took = began.elapsed();
            if took > LONG {
                debug!(
                    ?took,
                    "a worker's transaction was long: accepts had to wait"
                );
            }
        }
    }
}

fn accept_group(slot: &mut Slot, limits: &Limits, mut group: Vec<Waiting>) {
    group.retain(|waiting| !waiting.answer.is_closed());
    let drafts: Vec<&Draft> = group.iter().map(|waiting| &waiting.draft).collect();
    let answers = match slot.run(|connection| accept_all(connection, limits, &drafts)) {
        Ok(answers) => answers,
        // One of them spoils the others: each for itself, then.
        Err(Error::Rejected { .. } | Error::Failed { .. }) if drafts.len() > 1 => drafts
            .iter()
            .map(|draft| {
                let alone = slot.run(|connection| accept_all(connection, limits, &[draft]));
                alone.and_then(|mut answers| {
                    answers.pop().unwrap_or_else(|| Err(failed("no answer")))
                })
            })
            .collect(),
        Err(error) => vec![Err(error); drafts.len()],
    };
    for (waiting, answer) in group.into_iter().zip(answers) {
        let _ = waiting.answer.send(answer);
    }
}
