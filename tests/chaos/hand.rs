//! One client at work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{Kept, Key, Ledger, Misread, Span, Write},
    load::Front,
    plan,
    support::{Answer, App, Chat},
    texts::new_text,
};

/// A store is out of reach, or the queue is full.
const REFUSED: u16 = 503;
/// The server's last word on a connection on which nothing came in time. A client that sends just then takes it for the
/// answer (RFC 9110, 15.5.9).
const TIMED_OUT: u16 = 408;

/// Chats that are written to; more would only thin the load of each.
const CHATS: usize = 12;
/// How long a client waits after a request that did not succeed.
const SULK: Duration = Duration::from_millis(20);

/// A client: it creates, updates, and reads back what it wrote.
pub struct Hand {
    front: Arc<Front>,
    ledger: Arc<Ledger>,
    dice: StdRng,
    /// The messages it made and may update, with the newest text that it knows to be written, and when that was sent.
    mine: Vec<(Key, String, Instant)>,
    pace: Duration,
}

impl Hand {
    /// The client of that number.
    pub fn new(
        front: Arc<Front>,
        ledger: Arc<Ledger>,
        part: &str,
        client: usize,
        pace: Duration,
    ) -> Self {
        Self {
            front,
            ledger,
            dice: plan::dice((part, client)),
            mine: Vec::new(),
            pace,
        }
    }

    /// Works until it is to stop; what is under way is finished.
    pub async fn work(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let well = match self.dice.random_range(0..200) {
                0 => self.new_app().await,
                1..4 => self.new_chat().await,
                4..120 => self.create().await,
                120..175 => self.update().await,
                _ => {
                    let index = self.some_of_mine();
                    self.read_back(index).await
                }
            };
            let rest = if well { self.pace } else { SULK + self.pace };
            tokio::time::sleep(rest.mul_f64(self.dice.random())).await;
        }
        self
    }

    /// Creates an application; tells whether that succeeded.
    pub async fn new_app(&mut self) -> bool {
        let username = format!("Shetewi {}", self.dice.random::<u32>());
        let (client, sent) = (self.front.any(&mut self.dice), Instant::now());
        let body = json!({"username": username});
        let answer = client.try_post("/application", &body).await;
        let Some(answer) = self.success(answer, 201, None) else {
            return false;
        };
        let id = answer.text_field("Application");
        self.ledger.app(&App { id }, username, answered(sent));
        true
    }

    /// Creates a chat in one of the applications; tells whether that succeeded.
    pub async fn new_chat(&mut self) -> bool {
        if self.ledger.open_chats().len() >= CHATS {
            return true;
        }
        let apps: Vec<_> = {
            let book = self.ledger.book();
            let apps = book.apps.iter();
            apps.map(|(id, (_, span))| (id.clone(), span.sent))
                .collect()
        };
        let Some((id, since)) = apps.choose(&mut self.dice).cloned() else {
            return true;
        };
        let (client, sent) = (self.front.any(&mut self.dice), Instant::now());
        let path = format!("{}/chat", App { id: id.clone() });
        let answer = client.try_post(path, &json!({})).await;
        let Some(answer) = self.success(answer, 201, Some(since)) else {
            return false;
        };
        let number = answer.number_field("Chat");
        self.ledger.chat(&Chat { app: id, number }, answered(sent));
        true
    }

    async fn create(&mut self) -> bool {
        let open = self.ledger.open_chats();
        let Some(chat) = open.choose(&mut self.dice).cloned() else {
            return true;
        };
        let since = {
            let book = self.ledger.book();
            let newest = book.chats.get(&chat).and_then(|spans| spans.last());
            newest.map(|span| span.sent)
        };
        let text = new_text(&mut self.dice);
        let (client, sent) = (self.front.any(&mut self.dice), Instant::now());
        let body = json!({"message": text});
        let answer = client.try_post(format!("{chat}/message"), &body).await;
        if matches!(&answer, Ok(answer) if answer.status == 404) {
            self.ledger.close(&chat);
        }
        let number = self
            .success(answer, 201, since)
            .map(|answer| answer.number_field("MessageID"));
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
        self.ledger.write(text.clone(), write);
        let Some(number) = number else {
            return false;
        };
        self.mine.push((Key { chat, number }, text, sent));
        if self.dice.random_ratio(1, 10) {
            return self.read_back(Some(self.mine.len() - 1)).await;
        }
        true
    }

    async fn update(&mut self) -> bool {
        let Some(index) = self.some_of_mine() else {
            return true;
        };
        let (key, _, since) = self.mine[index].clone();
        let text = new_text(&mut self.dice);
        let (client, sent) = (self.front.any(&mut self.dice), Instant::now());
        let body = json!({"message": text});
        let answer = client.try_put(key.chat.message(key.number), &body).await;
        let gone = matches!(&answer, Ok(answer) if answer.status == 404);
        let well = self.success(answer, 200, Some(since)).is_some();
        let write = Write {
            chat: key.chat,
            number: Some(key.number),
            creates: false,
            span: Span {
                sent,
                ended: Instant::now(),
                answered: well,
            },
        };
        self.ledger.write(text.clone(), write);
        if gone {
            self.mine.swap_remove(index);
        } else if well {
            (self.mine[index].1, self.mine[index].2) = (text, sent);
            if self.dice.random_ratio(1, 5) {
                return self.read_back(Some(index)).await;
            }
        }
        well
    }

    /// What was answered with success must be read at once, by way of every process.
    async fn read_back(&mut self, index: Option<usize>) -> bool {
        let Some(index) = index else {
            return true;
        };
        let (key, _, written) = self.mine[index].clone();
        let client = self.front.any(&mut self.dice);
        let answer = client.try_get(key.chat.message(key.number)).await;
        let Ok(answer) = answer else {
            self.ledger.book().tally.not_read += 1;
            return false;
        };
        let stale = answer.header("confab-state") == Some("stale");
        let mut book = self.ledger.book();
        let seen = match answer.status {
            REFUSED | TIMED_OUT => {
                book.tally.not_read += 1;
                return false;
            }
            200 if stale => None,
            200 => {
                let text = answer.text_field("Message");
                let objection = book.objection(&key, &text, &Kept::default());
                objection.map(|objection| format!("{objection:?}: {text:.60?}"))
            }
            _ => Some(answer.to_string()),
        };
        match seen {
            None => book.tally.read += 1,
            Some(seen) => book.misreads.push(Misread {
                missing: answer.status == 404,
                key,
                written,
                seen,
            }),
        }
        true
    }

    fn some_of_mine(&mut self) -> Option<usize> {
        // Mostly the newest, which are still on their way.
        let count = self.mine.len();
        let from = if self.dice.random_ratio(2, 3) {
            count.saturating_sub(20)
        } else {
            0
        };
        (count > 0).then(|| self.dice.random_range(from..count))
    }

    /// The answer, if it is the success that it should be. What it may be beside that is a refusal or a timeout, and
    /// nothing else; `since` is when what it is about was written.
    fn success(
        &self,
        answer: reqwest::Result<Answer>,
        status: u16,
        since: Option<Instant>,
    ) -> Option<Answer> {
        match answer {
            Ok(answer) if answer.status == status => Some(answer),
            Ok(answer) => {
                if ![REFUSED, TIMED_OUT].contains(&answer.status) {
                    let since = since.filter(|_| answer.status == 404);
                    let seen = format!("{} {answer}", answer.request);
                    self.ledger.book().strange.push((seen, since));
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
