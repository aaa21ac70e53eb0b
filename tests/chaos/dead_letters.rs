//! Dead letters: jobs whose text the database refuses. Clients retry and discard them while faults happen.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    history::{Key, SharedHistory, Span},
    support::{Chat, Client, Fixture, eventually},
    texts::REFUSED,
};

/// Maximum number of dead letters to choose from.
const LISTED: usize = 100;

/// A dead letter of a write with a refused text.
pub struct DeadLetter {
    id: String,
    key: Key,
    creates: bool,
}

/// Makes the database refuse texts that begin with [`REFUSED`].
pub async fn refuse_texts(fixture: &Fixture) {
    let condition = format!("LIKE '{REFUSED}%'");
    for event in ["INSERT", "UPDATE"] {
        fixture.refuse_texts(event, &condition, "refused").await;
    }
}

/// The dead letters with refused texts, oldest first; `None` if they cannot be read now.
pub async fn list(admin: &Client) -> Option<Vec<DeadLetter>> {
    let path = format!("/api/jobs?state=dead&limit={LISTED}");
    let listed = admin.try_get(path).await.ok()?;
    if listed.status != 200 {
        return None;
    }
    let mut letters = Vec::new();
    for job in listed.json()["jobs"].as_array()? {
        let id = job["id"].as_str()?;
        let job = admin.try_get(format!("/api/jobs/{id}")).await.ok()?;
        if job.status == 200 {
            letters.extend(DeadLetter::read(&job.json()));
        }
    }
    Some(letters)
}

/// Discards all dead letters with refused texts.
pub async fn discard_all(admin: &Client, history: &SharedHistory) {
    eventually("all are discarded", async || {
        let letters = list(admin).await.ok_or(None)?;
        for letter in &letters {
            letter.discard(admin, history).await;
        }
        if letters.is_empty() {
            Ok(())
        } else {
            Err(Some(letters.len()))
        }
    })
    .await;
}

impl DeadLetter {
    /// Reads a job; `None` if its text is not one that is refused.
    fn read(job: &Value) -> Option<Self> {
        let payload: Value = serde_json::from_str(job["payload"].as_str()?).ok()?;
        if !payload["text"].as_str()?.starts_with(REFUSED) {
            return None;
        }
        let target: Vec<&str> = job["target"].as_str()?.split(':').collect();
        let [app, chat, number] = target[..] else {
            return None;
        };
        let chat = Chat {
            app: app.to_owned(),
            number: chat.parse().ok()?,
        };
        let number = number.parse().ok()?;
        Some(Self {
            id: job["id"].as_str()?.to_owned(),
            key: Key { chat, number },
            creates: job["kind"] == "create_message",
        })
    }

    /// Retries it; returns whether the request was successful.
    pub async fn retry(&self, admin: &Client, history: &SharedHistory) -> bool {
        let answered = self.post(admin, "retry").await;
        history.lock().retried += usize::from(answered);
        answered
    }

    /// Discards it: what a creation would have created is deleted. Returns whether the request was successful.
    pub async fn discard(&self, admin: &Client, history: &SharedHistory) -> bool {
        let sent = Instant::now();
        if self.creates {
            // Its creation may have had no response, so that its number was unknown.
            history.may_be_discarded(self.key.clone(), sent);
        }
        let answered = self.post(admin, "kill").await;
        history.lock().discarded += usize::from(answered);
        if self.creates && answered {
            history.deleted_by_discard(self.key.clone(), Span::ending_now(sent, true));
        }
        answered
    }

    async fn post(&self, admin: &Client, action: &str) -> bool {
        let path = format!("/api/jobs/{}/{action}", self.id);
        let response = admin.try_write("POST", path, &[], &json!(null)).await;
        response.is_ok_and(|response| response.status == 200)
    }
}
