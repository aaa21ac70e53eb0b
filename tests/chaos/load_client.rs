//! One client of the load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    history::{DurableWrites, Key, ReadViolation, SharedHistory, Span, Write},
    load::ClientPool,
    plan,
    support::{App, Chat, Response},
    texts::new_text,
};

/// A store is unreachable, or the queue is full.
const REFUSED: u16 = 503;
/// The server closes an idle connection with 408. A client that sends a request at that moment takes it for the
/// response (RFC 9110, 15.5.9).
const TIMED_OUT: u16 = 408;

/// The number of chats that are written to. More would reduce the load of each.
const CHATS: usize = 12;
/// The longest pause after a failed request.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// A client: it creates, updates, and reads back what it wrote.
pub struct LoadClient {
    pool: Arc<ClientPool>,
    history: Arc<SharedHistory>,
    rng: StdRng,
    /// The messages it created and may update, each with its last acknowledged text and the time that was sent.
    own_messages: Vec<(Key, String, Instant)>,
    think_time: Duration,
}

impl LoadClient {
    /// Creates the client with the number `client`.
    pub fn new(
        pool: Arc<ClientPool>,
        history: Arc<SharedHistory>,
        part: &str,
        client: usize,
        think_time: Duration,
    ) -> Self {
        Self {
            pool,
            history,
            rng: plan::rng((part, client)),
            own_messages: Vec::new(),
            think_time,
        }
    }

    /// Sends requests until it is stopped; a request in flight is completed.
    pub async fn work(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let succeeded = match self.rng.random_range(0..200) {
                0 => self.new_app().await,
                1..4 => self.new_chat().await,
                4..120 => self.create().await,
                120..175 => self.update().await,
                _ => {
                    let index = self.random_own_message();
                    self.read_back(index).await
                }
            };
            let pause = if succeeded {
                self.think_time
            } else {
                RETRY_DELAY + self.think_time
            };
            tokio::time::sleep(pause.mul_f64(self.rng.random())).await;
        }
        self
    }

    /// Creates an application; returns whether that succeeded.
    pub async fn new_app(&mut self) -> bool {
        let username = format!("Shetewi {}", self.rng.random::<u32>());
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let body = json!({"username": username});
        let response = client.try_post("/application", &body).await;
        let Some(response) = self.success(response, 201, None) else {
            return false;
        };
        let id = response.text_field("Application");
        self.history.app(&App { id }, username, answered(sent));
        true
    }

    /// Creates a chat in one of the applications; returns whether that succeeded.
    pub async fn new_chat(&mut self) -> bool {
        if self.history.open_chats().len() >= CHATS {
            return true;
        }
        let apps: Vec<_> = {
            let history = self.history.lock();
            let apps = history.apps.iter();
            apps.map(|(id, (_, span))| (id.clone(), span.sent))
                .collect()
        };
        let Some((id, since)) = apps.choose(&mut self.rng).cloned() else {
            return true;
        };
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let path = format!("{}/chat", App { id: id.clone() });
        let response = client.try_post(path, &json!({})).await;
        let Some(response) = self.success(response, 201, Some(since)) else {
            return false;
        };
        let number = response.number_field("Chat");
        self.history.chat(&Chat { app: id, number }, answered(sent));
        true
    }

    async fn create(&mut self) -> bool {
        let open = self.history.open_chats();
        let Some(chat) = open.choose(&mut self.rng).cloned() else {
            return true;
        };
        let since = {
            let history = self.history.lock();
            let newest = history.chats.get(&chat).and_then(|spans| spans.last());
            newest.map(|span| span.sent)
        };
        let text = new_text(&mut self.rng);
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let body = json!({"message": text});
        let response = client.try_post(format!("{chat}/message"), &body).await;
        if matches!(&response, Ok(response) if response.status == 404) {
            self.history.close(&chat);
        }
        let number = self
            .success(response, 201, since)
            .map(|response| response.number_field("MessageID"));
        let span = Span {
            sent,
            ended: Instant::now(),
            answered: number.is_some(),
        };
        let write = Write {
            chat: chat.clone(),
            number,
            creates: true,
            span,
        };
        self.history.write(text.clone(), write);
        let Some(number) = number else {
            return false;
        };
        self.own_messages.push((Key { chat, number }, text, sent));
        if self.rng.random_ratio(1, 10) {
            return self.read_back(Some(self.own_messages.len() - 1)).await;
        }
        true
    }

    async fn update(&mut self) -> bool {
        let Some(index) = self.random_own_message() else {
            return true;
        };
        let (key, _, since) = self.own_messages[index].clone();
        let text = new_text(&mut self.rng);
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let body = json!({"message": text});
        let response = client.try_put(key.chat.message(key.number), &body).await;
        let gone = matches!(&response, Ok(response) if response.status == 404);
        let succeeded = self.success(response, 200, Some(since)).is_some();
        let write = Write {
            chat: key.chat,
            number: Some(key.number),
            creates: false,
            span: Span {
                sent,
                ended: Instant::now(),
                answered: succeeded,
            },
        };
        self.history.write(text.clone(), write);
        if gone {
            self.own_messages.swap_remove(index);
        } else if succeeded {
            (self.own_messages[index].1, self.own_messages[index].2) = (text, sent);
            if self.rng.random_ratio(1, 5) {
                return self.read_back(Some(index)).await;
            }
        }
        succeeded
    }

    /// Reads a message back, from a random process: an acknowledged write must be visible.
    async fn read_back(&mut self, index: Option<usize>) -> bool {
        let Some(index) = index else {
            return true;
        };
        let (key, _, written) = self.own_messages[index].clone();
        let client = self.pool.any(&mut self.rng);
        let response = client.try_get(key.chat.message(key.number)).await;
        let Ok(response) = response else {
            self.history.lock().tally.not_read += 1;
            return false;
        };
        let stale = response.header("confab-state") == Some("stale");
        let mut history = self.history.lock();
        let seen = match response.status {
            REFUSED | TIMED_OUT => {
                history.tally.not_read += 1;
                return false;
            }
            200 if stale => None,
            200 => {
                let text = response.text_field("Message");
                let violation = history.violation(&key, &text, &DurableWrites::default());
                violation.map(|violation| format!("{violation:?}: {text:.60?}"))
            }
            _ => Some(response.to_string()),
        };
        match seen {
            None => history.tally.read += 1,
            Some(seen) => history.read_violations.push(ReadViolation {
                missing: response.status == 404,
                key,
                written,
                seen,
            }),
        }
        true
    }

    fn random_own_message(&mut self) -> Option<usize> {
        // Mostly the newest, which are not stored yet.
        let count = self.own_messages.len();
        let from = if self.rng.random_ratio(2, 3) {
            count.saturating_sub(20)
        } else {
            0
        };
        (count > 0).then(|| self.rng.random_range(from..count))
    }

    /// Returns the response if it is the expected success. Records any other response except a 503 or a timeout.
    /// `since` is when the resource it depends on was written.
    fn success(
        &self,
        response: reqwest::Result<Response>,
        status: u16,
        since: Option<Instant>,
    ) -> Option<Response> {
        match response {
            Ok(response) if response.status == status => Some(response),
            Ok(response) => {
                if ![REFUSED, TIMED_OUT].contains(&response.status) {
                    let since = since.filter(|_| response.status == 404);
                    let seen = format!("{} {response}", response.request);
                    self.history.lock().unexpected.push((seen, since));
                }
                None
            }
            Err(_) => None,
        }
    }
}

fn answered(sent: Instant) -> Span {
    Span {
        sent,
        ended: Instant::now(),
        answered: true,
    }
}
