//! The one thread that writes.
//!
//! SQLite allows one writer at a time, and a commit waits for the disk. So one thread does all writes. It commits all
//! waiting accepts together: the higher the load, the more of them share a commit. Between two such groups it runs one
//! transaction of a worker, so an accept waits for at most one of those.

use std::{
    collections::VecDeque,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::{
    QueueSettings,
    connection::{LazyConnection, Role},
    enqueue::enqueue_all,
    error::{Outcome, failed, unavailable},
    new_job::NewJob,
    path::DataFile,
};
use crate::stores::{
    Enqueued, Error, Result,
    call::{Call, call},
};

/// Maximum number of accepts in one transaction, which takes a few milliseconds.
const GROUP: usize = 500;

/// Capacity of the channel; senders wait while it is full.
const CHANNEL_CAPACITY: usize = 2000;

/// Duration above which a worker's transaction is logged.
const LONG_TRANSACTION: Duration = Duration::from_millis(20);

/// Command for the thread.
enum Command {
    Enqueue(Waiting),
    Work(Box<dyn FnOnce(&mut LazyConnection) + Send>),
}

/// Write to accept, and the channel to its caller.
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
    pub fn start(file: &DataFile, queue: QueueSettings) -> Result<Self> {
        let (commands, received) = mpsc::channel(CHANNEL_CAPACITY);
        let connection = LazyConnection::new(file, Role::Writes);
        let thread = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || run(received, connection, queue))
            .map_err(|error| failed(format!("cannot start the writer thread: {error}")))?;
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

    /// Runs `work` on the writing connection, after the writes that wait to be accepted. If the caller stops waiting,
    /// it runs completely or not at all.
    pub async fn run<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(&mut SqliteConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let (response, received) = oneshot::channel();
        let work = Command::Work(Box::new(move |connection| {
            if !response.is_closed() {
                // A caller that stopped waiting repeats the call.
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
                .ok_or_else(|| failed("the writer thread is shutting down"))?;
            let sent = commands.send(command).await;
            sent.map_err(|_| failed("the writer thread has ended"))?;
            received
                .await
                .map_err(|_| failed("the writer thread panicked"))?
        };
        let timeout = self.file.timeout;
        match tokio::time::timeout(timeout, exchange).await {
            Ok(response) => response,
            Err(_) => Err(unavailable(format!(
                "{}: the disk is too slow: no response within {timeout:?}",
                self.file
            ))),
        }
    }
}

impl Drop for Writer {
    /// Waits until the thread has finished its commands and closed the file.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches panics, so this error has no reader.
            let _ = thread.join();
        }
    }
}

fn run(
    mut commands: mpsc::Receiver<Command>,
    mut connection: LazyConnection,
    queue: QueueSettings,
) {
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
            enqueue_group(&mut connection, &queue, std::mem::take(&mut writes));
        }
        if let Some(next) = work.pop_front() {
            let began = Instant::now();
            next(&mut connection);
            let duration = began.elapsed();
            if duration > LONG_TRANSACTION {
                debug!(
                    ?duration,
                    "Long transaction of a worker; accepted writes had to wait"
                );
            }
        }
    }
}

fn enqueue_group(connection: &mut LazyConnection, queue: &QueueSettings, mut group: Vec<Waiting>) {
    group.retain(|waiting| !waiting.response.is_closed());
    let writes: Vec<&NewJob> = group.iter().map(|waiting| &waiting.write).collect();
    let outcomes = match connection.run(|connection| enqueue_all(connection, queue, &writes)) {
        Ok(outcomes) => outcomes,
        // One of them spoils the others: each for itself, then.
        Err(Error::Rejected { .. } | Error::Failed { .. }) if writes.len() > 1 => writes
            .iter()
            .map(|write| {
                let outcome = connection.run(|connection| enqueue_all(connection, queue, &[write]));
                outcome.and_then(|mut outcomes| {
                    outcomes.pop().unwrap_or_else(|| Err(failed("no response")))
                })
            })
            .collect(),
        Err(error) => vec![Err(error); writes.len()],
    };
    for (waiting, outcome) in group.into_iter().zip(outcomes) {
        let _ = waiting.response.send(outcome);
    }
}
