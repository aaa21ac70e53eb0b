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
    QueueLimits,
    connection::{LazyConnection, Role},
    enqueue::{NewJob, enqueue_all},
    error::{Outcome, failed, unavailable},
    path::DataFile,
};
use crate::stores::{
    Enqueued, Error, Result,
    call::{Call, call},
};

/// Accepts that one transaction holds at most: a few milliseconds' worth.
const GROUP: usize = 500;

/// What may wait for the thread before who asks has to wait to be let in.
const CHANNEL_CAPACITY: usize = 2000;

/// What a worker's transaction should not take.
const LONG_TRANSACTION: Duration = Duration::from_millis(20);

/// What the thread is asked to do.
enum Command {
    Enqueue(Waiting),
    Work(Box<dyn FnOnce(&mut LazyConnection) + Send>),
}

/// A write that waits to be accepted, and who waits with it.
struct Waiting {
    write: NewJob,
    response: oneshot::Sender<Result<Enqueued>>,
}

/// Handle of the thread.
pub(super) struct Writer {
    file: DataFile,
    /// `None` only while it is dropped.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; the file is opened when first needed.
    pub fn start(file: &DataFile, limits: QueueLimits) -> Result<Self> {
        let (commands, received) = mpsc::channel(CHANNEL_CAPACITY);
        let connection = LazyConnection::new(file, Role::Writes);
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || run(received, connection, limits))
            .map_err(|error| failed(format!("cannot start the writer's thread: {error}")))?;
        Ok(Self {
            file: file.clone(),
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Accepts a write, together with all that wait by then.
    pub async fn enqueue(&self, write: NewJob) -> Result<Enqueued> {
        let (response, received) = oneshot::channel();
        let command = Command::Enqueue(Waiting { write, response });
        call!("queue", "accept")
            .timed(self.send(command, received))
            .await
    }

    /// Runs `work` on the writing connection, after the writes that wait to be accepted. If the caller stops waiting, it is
    /// either not begun or completed.
    pub async fn run<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (response, received) = oneshot::channel();
        let work = Command::Work(Box::new(move |connection| {
            if !response.is_closed() {
                // A caller that has gone meanwhile looks again.
                let _ = response.send(connection.run(work));
            }
        }));
        call.timed(self.send(work, received)).await
    }

    async fn send<T>(&self, command: Command, received: oneshot::Receiver<Result<T>>) -> Result<T> {
        let exchange = async {
            let commands = self
                .commands
                .as_ref()
                .ok_or_else(|| failed("it is ending"))?;
            let sent = commands.send(command).await;
            sent.map_err(|_| failed("the writer's thread is gone"))?;
            received
                .await
                .map_err(|_| failed("the writer's thread died over this"))?
        };
        let timeout = self.file.timeout;
        match tokio::time::timeout(timeout, exchange).await {
            Ok(response) => response,
            Err(_) => Err(unavailable(format!(
                "{}: the disk does not keep up: no answer within {timeout:?}",
                self.file
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

fn run(mut commands: mpsc::Receiver<Command>, mut connection: LazyConnection, limits: QueueLimits) {
    let mut writes = Vec::new();
    let mut work = VecDeque::new();
    loop {
        if writes.is_empty() && work.is_empty() {
            match commands.blocking_recv() {
                Some(Command::Enqueue(waiting)) => writes.push(waiting),
                Some(Command::Work(next)) => work.push_back(next),
                None => break,
            }
        }
        while writes.len() < GROUP {
            match commands.try_recv() {
                Ok(Command::Enqueue(waiting)) => writes.push(waiting),
                Ok(Command::Work(next)) => work.push_back(next),
                Err(_) => break,
            }
        }
        if !writes.is_empty() {
            enqueue_group(&mut connection, &limits, std::mem::take(&mut writes));
        }
        if let Some(next) = work.pop_front() {
            let began = Instant::now();
            next(&mut connection);
            let duration = began.elapsed();
            if duration > LONG_TRANSACTION {
                debug!(
                    ?duration,
                    "a worker's transaction was long: accepts had to wait"
                );
            }
        }
    }
}

fn enqueue_group(connection: &mut LazyConnection, limits: &QueueLimits, mut group: Vec<Waiting>) {
    group.retain(|waiting| !waiting.response.is_closed());
    let writes: Vec<&NewJob> = group.iter().map(|waiting| &waiting.write).collect();
    let outcomes = match connection.run(|connection| enqueue_all(connection, limits, &writes)) {
        Ok(outcomes) => outcomes,
        // One of them spoils the others: each for itself, then.
        Err(Error::Rejected { .. } | Error::Failed { .. }) if writes.len() > 1 => writes
            .iter()
            .map(|write| {
                let outcome =
                    connection.run(|connection| enqueue_all(connection, limits, &[write]));
                outcome.and_then(|mut outcomes| {
                    outcomes.pop().unwrap_or_else(|| Err(failed("no answer")))
                })
            })
            .collect(),
        Err(error) => vec![Err(error); writes.len()],
    };
    for (waiting, outcome) in group.into_iter().zip(outcomes) {
        let _ = waiting.response.send(outcome);
    }
}
