//! Waits until the system has no work left.

use std::time::{Duration, Instant};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use serde_json::Value;

use crate::{
    support::{BackendKind, Chat},
    texts::word,
    trial::Trial,
};

/// The longest time to wait.
pub const TIMEOUT: Duration = Duration::from_secs(180);
/// Each poll starts the program, which costs more than what it asks for.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Tables of the services that must be empty, in addition to the queue.
const TABLES: [&str; 4] = [
    "outbox",
    "chats_count_deltas",
    "messages_count_deltas",
    "index_build",
];

/// Waits until no job is waiting, leased or delayed, the index and the counts are up to date, and search finds the
/// newest messages. Otherwise returns what was left.
pub async fn wait(trial: &Trial<'_>) -> Result<(), String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let Some(left) = left(trial).await else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(left);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn left(trial: &Trial<'_>) -> Option<String> {
    let finished = trial.confab(&["jobs", "stats", "--json"]).await;
    let Ok(stats) = serde_json::from_str::<Value>(&finished.stdout) else {
        return Some(format!("{finished:?}"));
    };
    let kinds = stats["kinds"].as_array().cloned().unwrap_or_default();
    let jobs = |kind: &Value| {
        let states = ["waiting", "leased", "delayed"];
        states.iter().any(|state| kind[*state] != 0)
    };
    if kinds.is_empty() || kinds.iter().any(jobs) {
        return Some(finished.stdout);
    }
    if trial.fixture.backend_kind() == BackendKind::Services {
        for table in TABLES {
            let count = format!("SELECT COUNT(*) FROM {table}");
            match trial.fixture.stored_number(&count).await {
                Some(0) => {}
                rows => return Some(format!("{table}: {rows:?} rows")),
            }
        }
    }
    if trial.index_is_repaired {
        let finished = trial.confab(&["search", "verify", "--json"]).await;
        if finished.code != Some(0) {
            return Some(format!("{finished:?}"));
        }
    }
    trial.fetch_file();
    let erasures = "SELECT COUNT(*) FROM erasures WHERE finished_at IS NULL";
    match trial.fixture.stored_number(erasures).await {
        Some(0) => {}
        rows => return Some(format!("{rows:?} erasures are not finished")),
    }
    not_found(trial).await
}

/// Returns one of the newest messages that search does not find yet.
async fn not_found(trial: &Trial<'_>) -> Option<String> {
    #[derive(QueryableByName)]
    struct Newest {
        #[diesel(sql_type = Text)]
        app: String,
        #[diesel(sql_type = BigInt)]
        chat: i64,
        #[diesel(sql_type = BigInt)]
        number: i64,
        #[diesel(sql_type = Text)]
        text: String,
    }
    let newest: Vec<Newest> = trial
        .fixture
        .rows("SELECT m.app, m.chat, m.number, m.text FROM messages m JOIN chats c ON c.app = m.app AND c.number = m.chat \
             WHERE m.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY m.revision DESC LIMIT 10")
        .await;
    for Newest {
        app,
        chat,
        number,
        text,
    } in newest
    {
        let chat = Chat {
            app,
            number: chat.unsigned_abs(),
        };
        let response = trial.api().search(&chat, word(&text)).await;
        let found =
            response.status == 200 && response.numbers("messageID") == [number.unsigned_abs()];
        if !found {
            return Some(format!("message {number} of {chat}: {response}"));
        }
    }
    None
}
