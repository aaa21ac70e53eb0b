//! Load: concurrent clients that create, update, and read back what they wrote.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::{rngs::StdRng, seq::IndexedRandom as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    followers::{Findings, Followers},
    history::{History, SharedHistory, Tally},
    load_client::LoadClient,
    support::{App, Client, eventually},
};

/// The number of concurrent clients.
const CLIENTS: usize = 10;

/// Longest pause of a client between its requests, where the load is limited: comparing what a machine accepts in 30 s
/// would take minutes.
pub const THINK_TIME: Duration = Duration::from_millis(40);

/// The running processes to choose from: for each an HTTP client of its API, and one of its admin listener.
#[derive(Debug, Default)]
pub struct ClientPool(Mutex<Vec<[Client; 2]>>);

impl ClientPool {
    /// Replaces the processes.
    pub fn set(&self, clients: Vec<[Client; 2]>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// The API of a random process.
    pub fn any(&self, rng: &mut StdRng) -> Client {
        let [api, _] = self.any_process(rng);
        api
    }

    /// The admin listener of a random process.
    pub fn any_admin(&self, rng: &mut StdRng) -> Client {
        let [_, admin] = self.any_process(rng);
        admin
    }

    fn any_process(&self, rng: &mut StdRng) -> [Client; 2] {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.choose(rng).expect("at least one process").clone()
    }
}

/// Behaviour of the clients.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Longest pause of a client between its requests.
    pub think_time: Duration,
    /// True if they also write texts that the database refuses. Those jobs become dead letters.
    pub with_refused: bool,
}

/// A load that runs until it is stopped.
pub struct Load {
    /// The operations so far.
    pub history: Arc<SharedHistory>,
    stop: CancellationToken,
    tasks: JoinSet<LoadClient>,
    /// Clients that are paused.
    paused: Vec<LoadClient>,
    followers: Followers,
}

impl Load {
    /// Starts the clients. Returns when one application and two chats exist.
    pub async fn start(pool: &Arc<ClientPool>, part: &str, options: LoadOptions) -> Self {
        let history = Arc::new(SharedHistory::default());
        let load_client =
            |client| LoadClient::new(pool.clone(), history.clone(), part, client, options);
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
        let app = history.lock().apps.keys().next().cloned();
        let app = App {
            id: app.expect("an application"),
        };
        let load = Self {
            followers: Followers::start(pool, part, &app),
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

    /// Stops the load. Returns its operations, and what the followers found. Everything must have converged.
    pub async fn end(self) -> (History, Findings) {
        let Self {
            history,
            paused,
            followers,
            ..
        } = self.pause().await;
        drop(paused);
        let findings = followers.finish().await;
        let history = Arc::into_inner(history).expect("no client uses it any more");
        (history.into_inner(), findings)
    }
}
