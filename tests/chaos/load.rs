//! Load: concurrent clients that create, update, and read back what they wrote.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::{rngs::StdRng, seq::IndexedRandom as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    history::{History, SharedHistory, Tally},
    load_client::LoadClient,
    support::{Client, eventually},
};

/// The number of concurrent clients.
const CLIENTS: usize = 10;

/// The running processes, as HTTP clients to choose from.
#[derive(Debug, Default)]
pub struct ClientPool(Mutex<Vec<Client>>);

impl ClientPool {
    /// Replaces the processes.
    pub fn set(&self, clients: Vec<Client>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// A random process.
    pub fn any(&self, rng: &mut StdRng) -> Client {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.choose(rng).expect("at least one process").clone()
    }
}

/// A load that runs until it is stopped.
pub struct Load {
    /// The operations so far.
    pub history: Arc<SharedHistory>,
    stop: CancellationToken,
    tasks: JoinSet<LoadClient>,
    /// Clients that are paused.
    paused: Vec<LoadClient>,
}

impl Load {
    /// Starts the clients; each waits up to `think_time` between its requests. Returns when one application and two
    /// chats exist.
    pub async fn start(pool: &Arc<ClientPool>, part: &str, think_time: Duration) -> Self {
        let history = Arc::new(SharedHistory::default());
        let load_client =
            |client| LoadClient::new(pool.clone(), history.clone(), part, client, think_time);
        let mut first = load_client(CLIENTS);
        eventually("there are chats", async || {
            if history.lock().apps.is_empty() {
                first.new_app().await;
            }
            first.new_chat().await;
            let chats = history.open_chats();
            if chats.len() > 1 { Ok(()) } else { Err(chats) }
        })
        .await;
        let load = Self {
            paused: (0..CLIENTS).map(load_client).collect(),
            history,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        load.resume()
    }

    /// Resumes the clients.
    pub fn resume(mut self) -> Self {
        self.stop = CancellationToken::new();
        for load_client in self.paused.drain(..) {
            self.tasks.spawn(load_client.work(self.stop.clone()));
        }
        self
    }

    /// Pauses the clients; requests in flight are completed.
    pub async fn pause(mut self) -> Self {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            self.paused.push(ended.expect("a client does not panic"));
        }
        self
    }

    /// Waits until `more` further requests have succeeded.
    pub async fn wait_for_successes(&self, more: usize) {
        let before = self.history.tally();
        eventually("requests are answered with success", async || {
            let since = self.history.tally().since(&before);
            if since.answered() >= more {
                Ok(())
            } else {
                Err(since)
            }
        })
        .await;
    }

    /// Lets the load run for a time. Returns the counts and the elapsed time.
    pub async fn run_for(&self, time: Duration) -> (Tally, Duration) {
        let (before, start) = (self.history.tally(), Instant::now());
        tokio::time::sleep(time).await;
        (self.history.tally().since(&before), start.elapsed())
    }

    /// Stops the load and returns its operations.
    pub async fn end(self) -> History {
        let Self {
            history, paused, ..
        } = self.pause().await;
        drop(paused);
        let history = Arc::into_inner(history).expect("no client uses it any more");
        history.into_inner()
    }
}
