//! Stores that are killed and restarted, with all or part of their data.

use std::{collections::HashSet, time::Instant};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};

use super::process::LONGER_THAN_A_LEASE;
use crate::{
    convergence, history::DurableWrites, load::THINK_TIME, plan::rounds, stores::Stores,
    support::Chat, trial::Trial,
};

/// SIGKILL of a store under load, and its restart.
pub async fn killed(trial: &mut Trial<'_>, stores: &Stores, store: &'static str) {
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load_with(THINK_TIME).await;
        trial.inject(&load);
        stores.run("kill", store).await;
        stores.run("start", store).await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// Redis loses all data while batches are in flight. Only what no other store held is lost; nothing that is sent
/// afterwards.
pub async fn redis_emptied(trial: &mut Trial<'_>, _: &Stores) {
    trial.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = trial.load().await;
        let services = trial.fixture.services();
        let victim = trial.random_process();
        // Batches are in flight: either nothing is stored while the epoch is locked, or one process is suspended with
        // its batch and continues in a new epoch.
        let mut lock = None;
        if round % 2 == 0 {
            lock = Some(lock_epoch(trial).await);
            load.wait_for_successes(100).await;
        } else {
            trial.processes[victim].signal("STOP");
        }
        let (texts, chats) = stored(trial).await;
        trial.inject(&load);
        let emptied = services.empty_redis().await;
        let now = Instant::now();
        emptied.expect("Redis answers");
        drop(lock);
        if round % 2 == 1 {
            // The process may hold the epoch in a transaction. Until it continues, no new epoch begins and writes
            // return 503.
            tokio::time::sleep(LONGER_THAN_A_LEASE).await;
            trial.processes[victim].signal("CONT");
        }
        trial.clear(&load);
        trial.row().lost_with_redis.get_or_insert(0);
        trial
            .finish_round_with(load, &DurableWrites::after(now, texts, chats))
            .await;
    }
}

/// Blocks every store transaction until the connection is dropped.
async fn lock_epoch(trial: &Trial<'_>) -> AsyncMysqlConnection {
    let mut connection = trial.fixture.services().mysql().await;
    let lock = "BEGIN; SELECT queue_epoch FROM state FOR UPDATE";
    let locked = connection.batch_execute(lock).await;
    locked.expect("the row is there");
    connection
}

/// The texts and chats that MySQL holds.
pub async fn stored(trial: &Trial<'_>) -> (HashSet<String>, HashSet<Chat>) {
    #[derive(QueryableByName)]
    struct Message {
        #[diesel(sql_type = Text)]
        text: String,
    }
    #[derive(QueryableByName)]
    struct ChatRow {
        #[diesel(sql_type = Text)]
        app: String,
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    // Messages whose application only Redis held are unreachable after its loss.
    let messages: Vec<Message> = trial
        .fixture
        .rows("SELECT text FROM messages m JOIN applications a ON a.id = m.app WHERE m.deleted_at IS NULL")
        .await;
    let chats: Vec<ChatRow> = trial
        .fixture
        .rows("SELECT app, number FROM chats c JOIN applications a ON a.id = c.app")
        .await;
    let chats = chats.into_iter().map(|row| Chat {
        app: row.app,
        number: row.number.unsigned_abs(),
    });
    let texts = messages.into_iter().map(|row| row.text);
    (texts.collect(), chats.collect())
}

/// Redis restarts with older data, after everything it held was stored: nothing is lost, and no number is given twice.
pub async fn redis_restored(trial: &mut Trial<'_>, stores: &Stores) {
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = trial.load().await;
        stores.run("kill", "redis").await;
        stores.run("keep", "redis").await;
        stores.run("start", "redis").await;
        // The kept file does not contain what is accepted from here on.
        load.wait_for_successes(300).await;
        let load = load.pause().await;
        convergence::wait(trial).await.expect("it converges");
        trial.inject(&load);
        stores.run("kill", "redis").await;
        stores.run("back", "redis").await;
        stores.run("start", "redis").await;
        trial.clear(&load);
        let load = load.resume();
        trial.finish_round(load).await;
    }
}
