//! One client of the load.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    dead_letters,
    history::{DurableWrites, Key, ReadViolation, SharedHistory, Span, Write},
    load::{ClientPool, LoadOptions},
    plan,
    support::{App, Chat, Response},
    texts::{new_text, refused_text},
};

/// A store is unreachable, or the queue is full.
const REFUSED: u16 = 503;
/// The server closes an idle connection with 408. A client that sends a request at that moment takes it for the
/// response (RFC 9110, 15.5.9).
const TIMED_OUT: u16 = 408;
/// A conditional write to a version that is not the newest.
const CHANGED: u16 = 412;

/// The number of chats that are written to. More would reduce the load of each.
const CHATS: usize = 12;
/// The number of chats that are not deleted.
const KEPT_CHATS: usize = 3;
/// The longest pause after a failed request.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Number of deleted messages that a client reads again.
const DELETED: usize = 20;
/// Number of attempts to create a message with an idempotency key.
const ATTEMPTS: usize = 5;

/// A message that a client created.
struct OwnMessage {
    key: Key,
    /// When its last acknowledged write was requested.
    written: Instant,
    /// ETag of that write; `None` after a write with an unknown outcome.
    etag: Option<String>,
}

/// A client: it creates, updates, and reads back what it wrote.
pub struct LoadClient {
    pool: Arc<ClientPool>,
    history: Arc<SharedHistory>,
    rng: StdRng,
    /// The messages it created and may update.
    own_messages: Vec<OwnMessage>,
    /// The newest messages whose deletion was acknowledged, each with the time at which it was requested.
    deleted: VecDeque<(Key, Instant)>,
    options: LoadOptions,
}

impl LoadClient {
    /// Creates the client with the number `client`.
    pub fn new(
        pool: Arc<ClientPool>,
        history: Arc<SharedHistory>,
        part: &str,
        client: usize,
        options: LoadOptions,
    ) -> Self {
        Self {
            pool,
            history,
            rng: plan::rng((part, client)),
            own_messages: Vec::new(),
            deleted: VecDeque::new(),
            options,
        }
    }

    /// Sends requests until it is stopped; a request in flight is completed.
    pub async fn work(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let succeeded = match self.rng.random_range(0..200) {
                0 => self.new_app().await,
                1..4 => self.new_chat().await,
                4 => self.delete_chat().await,
                5..120 => self.create().await,
                120..170 => self.update().await,
                170..178 => self.delete().await,
                178..182 => self.read_deleted().await,
                182..184 if self.options.with_refused => self.write_refused().await,
                184..188 if self.options.with_refused => self.settle_dead_letter().await,
                _ => {
                    let index = self.random_own_message();
                    self.read_back(index).await
                }
            };
            let think_time = self.options.think_time;
            let pause = if succeeded {
                think_time
            } else {
                RETRY_DELAY + think_time
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
        self.history
            .app(&App { id }, username, Span::ending_now(sent, true));
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
        self.history
            .chat(&Chat { app: id, number }, Span::ending_now(sent, true));
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
        let sent = Instant::now();
        let keyed = self.rng.random_ratio(1, 4);
        let created = match keyed {
            true => self.create_keyed(&chat, &text, since).await,
            false => self.create_once(&chat, &text, None, since).await,
        };
        let etag = created
            .as_ref()
            .and_then(|response| response.header("etag").map(str::to_owned));
        let number = created.map(|response| response.number_field("MessageID"));
        let Some(key) = self.record_creation(chat, number, text, keyed, sent) else {
            return false;
        };
        self.own_messages.push(OwnMessage {
            key,
            written: sent,
            etag,
        });
        if self.rng.random_ratio(1, 10) {
            return self.read_back(Some(self.own_messages.len() - 1)).await;
        }
        true
    }

    /// Records the creation of a message, which has a number if it was answered. Returns the key of the message.
    fn record_creation(
        &self,
        chat: Chat,
        number: Option<u64>,
        text: String,
        keyed: bool,
        sent: Instant,
    ) -> Option<Key> {
        let write = Write {
            chat: chat.clone(),
            number,
            creates: true,
            keyed,
            span: Span::ending_now(sent, number.is_some()),
        };
        self.history.write(text, write);
        number.map(|number| Key { chat, number })
    }

    /// Sends one request that creates a message.
    async fn create_once(
        &mut self,
        chat: &Chat,
        text: &str,
        key: Option<&str>,
        since: Option<Instant>,
    ) -> Option<Response> {
        let client = self.pool.any(&mut self.rng);
        let headers = key.map(|key| ("idempotency-key", key));
        let body = json!({"message": text});
        let response = client
            .try_write("POST", format!("{chat}/message"), headers.as_slice(), &body)
            .await;
        if matches!(&response, Ok(response) if response.status == 404) {
            self.history.close(chat);
        }
        let may_be_gone = self.history.lock().chat_may_be_deleted(chat);
        self.success_unless(may_be_gone, response, 201, since)
    }

    /// Creates a message with an idempotency key: an attempt whose outcome is unknown is repeated.
    async fn create_keyed(
        &mut self,
        chat: &Chat,
        text: &str,
        since: Option<Instant>,
    ) -> Option<Response> {
        let key = format!("{:032x}", self.rng.random::<u128>());
        for _ in 0..ATTEMPTS {
            let created = self.create_once(chat, text, Some(&key), since).await;
            if created.is_some() {
                return created;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
        None
    }

    /// Updates a message; mostly only the version that it wrote last.
    async fn update(&mut self) -> bool {
        let Some(index) = self.random_own_message() else {
            return true;
        };
        let OwnMessage {
            ref key,
            written,
            ref etag,
        } = self.own_messages[index];
        let (key, etag) = (key.clone(), etag.clone());
        let text = new_text(&mut self.rng);
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let body = json!({"message": text});
        let condition = etag.as_deref().map(|etag| ("if-match", etag));
        let path = key.chat.message(key.number);
        let response = client
            .try_write("PUT", path, condition.as_slice(), &body)
            .await;
        let gone = matches!(&response, Ok(response) if response.status == 404);
        let changed = matches!(&response, Ok(response) if response.status == CHANGED);
        let response = self.success_of_write(&key, response, written);
        let succeeded = response.is_some();
        self.own_messages[index].etag =
            response.and_then(|response| response.header("etag").map(str::to_owned));
        if changed {
            return false;
        }
        let write = Write {
            chat: key.chat,
            number: Some(key.number),
            creates: false,
            keyed: false,
            span: Span::ending_now(sent, succeeded),
        };
        self.history.write(text, write);
        if gone {
            self.own_messages.swap_remove(index);
        } else if succeeded {
            self.own_messages[index].written = sent;
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
        let OwnMessage {
            ref key, written, ..
        } = self.own_messages[index];
        let key = key.clone();
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
            200 if stale || history.chat_may_be_deleted(&key.chat) => None,
            200 => {
                let text = response.text_field("Message");
                let violation = history.violation(&key, &text, &DurableWrites::default());
                violation.map(|violation| format!("{violation:?}: {text:.60?}"))
            }
            404 if history.may_be_deleted(&key) => None,
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

    /// Deletes a message; half of the time only the version that it wrote last.
    async fn delete(&mut self) -> bool {
        let Some(index) = self.random_own_message() else {
            return true;
        };
        let OwnMessage { key, written, etag } = self.own_messages.swap_remove(index);
        let condition = etag.filter(|_| self.rng.random());
        let condition = condition.as_deref().map(|etag| ("if-match", etag));
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let path = key.chat.message(key.number);
        let response = client
            .try_write("DELETE", path, condition.as_slice(), &json!(null))
            .await;
        let success = self.success_of_write(&key, response, written);
        let answered = success.is_some();
        let span = Span::ending_now(sent, answered);
        self.history.deletion(key.clone(), span);
        if answered {
            self.deleted.push_back((key, sent));
            if self.deleted.len() > DELETED {
                self.deleted.pop_front();
            }
            return self.read_deleted().await;
        }
        false
    }

    /// Deletes a chat that others write to, with its messages.
    async fn delete_chat(&mut self) -> bool {
        let open = self.history.open_chats();
        let Some(chat) = open.choose(&mut self.rng).cloned() else {
            return true;
        };
        let Some(since) = self.history.begin_chat_deletion(&chat, KEPT_CHATS) else {
            return true;
        };
        let (client, sent) = (self.pool.any(&mut self.rng), Instant::now());
        let response = client
            .try_write("DELETE", chat.to_string(), &[], &json!(null))
            .await;
        let answered = self.success(response, 200, Some(since)).is_some();
        let span = Span::ending_now(sent, answered);
        self.history.end_chat_deletion(&chat, span);
        let (gone, own): (Vec<_>, Vec<_>) = std::mem::take(&mut self.own_messages)
            .into_iter()
            .partition(|message| message.key.chat == chat);
        self.own_messages = own;
        if answered && let Some(newest) = gone.into_iter().next_back() {
            self.deleted.push_back((newest.key, sent));
            return self.read_deleted().await;
        }
        answered
    }

    /// Reads a deleted message, from a random process: it must not be found.
    async fn read_deleted(&mut self) -> bool {
        let Some(index) = self.deleted.len().checked_sub(1) else {
            return true;
        };
        let index = self.rng.random_range(0..=index);
        let (key, written) = self.deleted[index].clone();
        let client = self.pool.any(&mut self.rng);
        let response = client.try_get(key.chat.message(key.number)).await;
        let Ok(response) = response else {
            self.history.lock().tally.not_read += 1;
            return false;
        };
        let mut history = self.history.lock();
        match response.status {
            404 => history.tally.read += 1,
            REFUSED | TIMED_OUT => {
                history.tally.not_read += 1;
                return false;
            }
            // A deletion that is not stored yet.
            200 if response.header("confab-state") == Some("stale") => history.tally.read += 1,
            _ => history.read_violations.push(ReadViolation {
                key,
                written,
                missing: false,
                seen: format!("deleted, but {response}"),
            }),
        }
        true
    }

    /// Creates or updates a message with a text that the database refuses. The job becomes a dead letter; until it is
    /// discarded, the message has that text.
    async fn write_refused(&mut self) -> bool {
        let text = refused_text();
        let body = json!({"message": text});
        if let Some(index) = self.random_own_message()
            && self.rng.random()
        {
            // Nobody else writes to it, and it has its last stored text again once the update is discarded.
            let OwnMessage { key, written, .. } = self.own_messages.swap_remove(index);
            let client = self.pool.any(&mut self.rng);
            let path = key.chat.message(key.number);
            let response = client.try_write("PUT", path, &[], &body).await;
            return self.success_of_write(&key, response, written).is_some();
        }
        let open = self.history.open_chats();
        let Some(chat) = open.choose(&mut self.rng).cloned() else {
            return true;
        };
        let sent = Instant::now();
        let key = format!("{:032x}", self.rng.random::<u128>());
        let key = Some(key.as_str()).filter(|_| self.rng.random());
        let created = self.create_once(&chat, &text, key, None).await;
        let number = created.map(|response| response.number_field("MessageID"));
        let keyed = key.is_some();
        let Some(key) = self.record_creation(chat, number, text, keyed, sent) else {
            return false;
        };
        self.history.may_be_discarded(key, sent);
        true
    }

    /// Retries or discards a dead letter.
    async fn settle_dead_letter(&mut self) -> bool {
        let admin = self.pool.any_admin(&mut self.rng);
        let Some(letters) = dead_letters::list(&admin).await else {
            return false;
        };
        let Some(letter) = letters.choose(&mut self.rng) else {
            return true;
        };
        match self.rng.random() {
            true => letter.discard(&admin, &self.history).await,
            false => letter.retry(&admin, &self.history).await,
        }
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

    /// Returns the response to an update or a deletion if it is a success.
    fn success_of_write(
        &self,
        key: &Key,
        response: reqwest::Result<Response>,
        written: Instant,
    ) -> Option<Response> {
        let mut history = self.history.lock();
        if let Ok(response) = &response
            && response.status == CHANGED
        {
            let since = history.shared_since(key).unwrap_or(written);
            let writes = history.describe(key);
            let seen = format!("{} {response} after {writes}", response.request);
            history.unexpected.push((seen, Some(since)));
            return None;
        }
        let may_be_gone = history.may_be_deleted(key);
        drop(history);
        self.success_unless(may_be_gone, response, 200, Some(written))
    }

    /// Same as [`Self::success`], except that a 404 is expected of what may be gone. Another client can delete the chat. It can
    /// also delete a message: one whose number it had before a store lost data.
    fn success_unless(
        &self,
        may_be_gone: bool,
        response: reqwest::Result<Response>,
        status: u16,
        since: Option<Instant>,
    ) -> Option<Response> {
        if may_be_gone && matches!(&response, Ok(response) if response.status == 404) {
            return None;
        }
        self.success(response, status, since)
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
                    // What it depends on may be lost with a store.
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
