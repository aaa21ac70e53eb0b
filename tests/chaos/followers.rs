//! Clients that follow the changes of an application while it is written to and faults are injected.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::{Rng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    load::ClientPool,
    plan,
    support::{App, Client, Copy, Follower, Response},
};

/// Number of followers: each filter has one.
const FILTERS: [Option<[u64; 3]>; 3] = [None, None, Some([1, 2, 4])];

/// Pause after a failed request.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Followers of one application that run until they are stopped.
pub struct Followers {
    stop: CancellationToken,
    tasks: JoinSet<ChangeReader>,
}

/// A client that follows an application through random processes, with pages of random sizes.
struct ChangeReader {
    pool: Arc<ClientPool>,
    rng: StdRng,
    app: App,
    chats: Option<BTreeSet<u64>>,
    follower: Follower,
    findings: Findings,
}

/// What a follower found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Number of times that its history was lost.
    pub resets: usize,
    /// Responses that it did not expect, and differences to the lists.
    pub unexpected: Vec<String>,
}

impl Followers {
    /// Starts the followers.
    pub fn start(pool: &Arc<ClientPool>, part: &str, app: &App) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for (index, filter) in FILTERS.into_iter().enumerate() {
            let reader = ChangeReader {
                pool: pool.clone(),
                rng: plan::rng((part, "follower", index)),
                app: app.clone(),
                chats: filter.map(BTreeSet::from),
                follower: Follower::new(),
                findings: Findings::default(),
            };
            tasks.spawn(reader.work(stop.clone()));
        }
        Self { stop, tasks }
    }

    /// Stops the followers, lets each read to the end, and compares what it holds with the lists. Nothing may be written
    /// meanwhile.
    pub async fn finish(mut self) -> Findings {
        self.stop.cancel();
        let mut all = Findings::default();
        while let Some(ended) = self.tasks.join_next().await {
            let found = ended.expect("a follower does not panic").finish().await;
            all.resets += found.resets;
            all.unexpected.extend(found.unexpected);
        }
        all
    }
}

impl ChangeReader {
    async fn work(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let wait = self.rng.random_range(0..3);
            if self.read(wait).await.is_none() {
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
        self
    }

    /// Reads changes once. Returns whether there may be more; `None` if the request failed.
    async fn read(&mut self, wait: u64) -> Option<bool> {
        let limit = match self.rng.random() {
            true => self.rng.random_range(1..5),
            false => self.rng.random_range(1..1000),
        };
        let mut query = format!("&limit={limit}&wait={wait}");
        for chat in self.chats.iter().flatten() {
            query.push_str(&format!("&chat={chat}"));
        }
        let api = self.pool.any(&mut self.rng);
        let Response { status, body, .. } = self.request(&api, &query).await?;
        match status {
            200 => {
                let body = serde_json::from_str(&body).expect("JSON");
                Some(self.follower.take(&body))
            }
            410 => {
                self.findings.resets += 1;
                self.follower = Follower::new();
                Some(true)
            }
            // The application itself was lost.
            404 => {
                self.follower = Follower::new();
                None
            }
            408 | 503 => None,
            _ => {
                let finding = format!("changes are answered {status} {body}");
                self.findings.unexpected.push(finding);
                None
            }
        }
    }

    async fn request(&self, api: &Client, query: &str) -> Option<Response> {
        let (app, cursor) = (&self.app, &self.follower.cursor);
        let path = format!("{app}/changes?after={cursor}{query}");
        api.try_get(path).await.ok()
    }

    async fn finish(mut self) -> Findings {
        // Requests may still fail for a moment.
        let mut failures = 0;
        while failures < 100 {
            match self.read(0).await {
                Some(true) => {}
                Some(false) => break,
                None => {
                    failures += 1;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
        let api = self.pool.any(&mut self.rng);
        let mut lists = Copy::of_lists(&api, &self.app).await;
        if let Some(chats) = &self.chats {
            lists.chats.retain(|chat, _| chats.contains(chat));
            lists.messages.retain(|(chat, _), _| chats.contains(chat));
        }
        let held = &self.follower.copy;
        let differences = held.difference(&lists);
        if !differences.is_empty() {
            let filter = &self.chats;
            let finding = format!("a follower with filter {filter:?} differs: {differences:?}");
            self.findings.unexpected.push(finding);
        }
        self.findings
    }
}
