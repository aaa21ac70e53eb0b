//! Waiting until the system has nothing left to do.

use std::time::{Duration, Instant};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use serde_json::Value;

use crate::{
    ground::Ground,
    support::{Backing, Chat},
    texts::word,
};

/// How long that may take.
pub const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(100);

/// What is waited for on the services, beside the queue.
const TABLES: [&str; 4] = [
    "outbox",
    "chats_count_deltas",
    "messages_count_deltas",
    "index_build",
];

/// Waits until nothing is waiting, leased or delayed, the index and the counts have been told everything, and the newest
/// messages are found. Otherwise tells what was still there.
pub async fn come(ground: &Ground<'_>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(left) = left(ground).await else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(left);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn left(ground: &Ground<'_>) -> Option<String> {
    let finished = ground.confab(&["jobs", "stats", "--json"]).await;
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
    if ground.site.backing() == Backing::Services {
        for table in TABLES {
            let count = format!("SELECT COUNT(*) FROM {table}");
            match ground.site.stored_number(&count).await {
                Some(0) => {}
                rows => return Some(format!("{table}: {rows:?} rows")),
            }
        }
    }
    if ground.index_is_mended {
        let finished = ground.confab(&["search", "verify", "--json"]).await;
        if finished.code != Some(0) {
            return Some(format!("{finished:?}"));
        }
    }
    not_found(ground).await
}

/// A newest message of a chat that search does not find yet.
async fn not_found(ground: &Ground<'_>) -> Option<String> {
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
    ground.fetch_file();
    let newest: Vec<Newest> = ground
        .site
        .rows("SELECT app, chat, number, text FROM messages ORDER BY revision DESC LIMIT 10")
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
        let answer = ground.api().search(&chat, word(&text)).await;
        let found = answer.status == 200 && answer.numbers("messageID") == [number.unsigned_abs()];
        if !found {
            return Some(format!("message {number} of {chat}: {answer}"));
        }
    }
    None
}
