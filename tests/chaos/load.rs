//! Clients at work: they create, update, and read back what they wrote, through all that happens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::{rngs::StdRng, seq::IndexedRandom as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    hand::Hand,
    ledger::{Book, Ledger, Tally},
    support::{Client, eventually},
};

/// Clients that work at the same time.
const CLIENTS: usize = 10;

/// The processes that answer at present.
#[derive(Debug, Default)]
pub struct Front(Mutex<Vec<Client>>);

impl Front {
    /// From now on it is these.
    pub fn set(&self, clients: Vec<Client>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// One of them.
    pub fn any(&self, dice: &mut StdRng) -> Client {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.choose(dice).expect("there are processes").clone()
    }
}

/// A load that runs until it is ended.
pub struct Load {
    /// What it did.
    pub ledger: Arc<Ledger>,
    stop: CancellationToken,
    tasks: JoinSet<Hand>,
    /// Those who do not work at present.
    resting: Vec<Hand>,
}

impl Load {
    /// Starts the clients; each rests up to `pace` between its requests. There are an application and two chats at the
    /// least before anything else happens.
    pub async fn start(front: &Arc<Front>, part: &str, pace: Duration) -> Self {
        let ledger = Arc::new(Ledger::default());
        let hand = |client| Hand::new(front.clone(), ledger.clone(), part, client, pace);
        let mut first = hand(CLIENTS);
        eventually("there are chats", async || {
            if ledger.book().apps.is_empty() {
                first.new_app().await;
            }
            first.new_chat().await;
            let chats = ledger.open_chats();
            if chats.len() > 1 { Ok(()) } else { Err(chats) }
        })
        .await;
        let load = Self {
            resting: (0..CLIENTS).map(hand).collect(),
            ledger,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        load.resume()
    }

    /// Lets the clients work again.
    pub fn resume(mut self) -> Self {
        self.stop = CancellationToken::new();
        for hand in self.resting.drain(..) {
            self.tasks.spawn(hand.work(self.stop.clone()));
        }
        self
    }

    /// Lets the clients rest: every request is waited for.
    pub async fn pause(mut self) -> Self {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            self.resting.push(ended.expect("a client does not panic"));
        }
        self
    }

    /// Waits until so many more requests were answered with success.
    pub async fn flows(&self, more: usize) {
        let before = self.ledger.tally();
        eventually("requests are answered with success", async || {
            let since = self.ledger.tally().since(&before);
            if since.answered() >= more {
                Ok(())
            } else {
                Err(since)
            }
        })
        .await;
    }

    /// Lets it run for a while; tells what came of it, and the time it took.
    pub async fn runs(&self, time: Duration) -> (Tally, Duration) {
        let (before, start) = (self.ledger.tally(), Instant::now());
        tokio::time::sleep(time).await;
        (self.ledger.tally().since(&before), start.elapsed())
    }

    /// Ends it, and gives what it did.
    pub async fn end(self) -> Book {
        let Self {
            ledger, resting, ..
        } = self.pause().await;
        drop(resting);
        let ledger = Arc::into_inner(ledger).expect("nobody else writes in it");
        ledger.close_book()
    }
}
