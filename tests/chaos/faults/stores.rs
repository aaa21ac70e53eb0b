//! Stores that die and come back, with what they had on disk, or less.

use std::{collections::HashSet, time::Instant};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};

use super::{process::LONGER_THAN_A_LEASE, reach::PACE};
use crate::{ground::Ground, ledger::Kept, plan::rounds, rest, stores::Stores, support::Chat};

/// kill -9 of a store under load, and its restart, which may take a while.
pub async fn killed(ground: &mut Ground<'_>, stores: &Stores, store: &'static str) {
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load_with(PACE).await;
        ground.strike(&load);
        stores.tell("kill", store).await;
        stores.tell("start", store).await;
        ground.heal(&load);
        ground.settle(load).await;
    }
}

/// Redis loses everything while batches are in hand. What only it held is lost with it; nothing that is stored is, nor
/// anything that is sent afterwards.
pub async fn redis_emptied(ground: &mut Ground<'_>, _: &Stores) {
    ground.start(2).await;
    for round in 0..rounds(2, 6) {
        let load = ground.load().await;
        let services = ground.site.services();
        let victim = ground.victim();
        // Batches in hand: nothing is stored while the epoch is locked; or one process stands still with its batch, and
        // wakes up in a new epoch.
        let mut lock = None;
        if round % 2 == 0 {
            lock = Some(lock_epoch(ground).await);
            load.flows(100).await;
        } else {
            ground.fleet[victim].signal("STOP");
        }
        let (texts, chats) = stored(ground).await;
        ground.strike(&load);
        let emptied = services.empty_redis().await;
        let now = Instant::now();
        emptied.expect("Redis answers");
        drop(lock);
        if round % 2 == 1 {
            // It may hold the epoch in a transaction: no new one begins then before it goes on, and writes get 503.
            tokio::time::sleep(LONGER_THAN_A_LEASE).await;
            ground.fleet[victim].signal("CONT");
        }
        ground.heal(&load);
        ground.row().redis_alone.get_or_insert(0);
        ground
            .settle_with(load, &Kept::after(now, texts, chats))
            .await;
    }
}

/// Holds up every store transaction until the connection is dropped.
async fn lock_epoch(ground: &Ground<'_>) -> AsyncMysqlConnection {
    let mut connection = ground.site.services().mysql().await;
    let lock = "BEGIN; SELECT epoch FROM state FOR UPDATE";
    let locked = connection.batch_execute(lock).await;
    locked.expect("the row is there");
    connection
}

async fn stored(ground: &Ground<'_>) -> (HashSet<String>, HashSet<Chat>) {
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
    // What belongs to an application whose creation only Redis held cannot be reached without it.
    let messages: Vec<Message> = ground
        .site
        .rows("SELECT text FROM messages m JOIN applications a ON a.id = m.app")
        .await;
    let chats: Vec<ChatRow> = ground
        .site
        .rows("SELECT app, number FROM chats c JOIN applications a ON a.id = c.app")
        .await;
    let chats = chats.into_iter().map(|row| Chat {
        app: row.app,
        number: row.number.unsigned_abs(),
    });
    let texts = messages.into_iter().map(|row| row.text);
    (texts.collect(), chats.collect())
}

/// Redis comes back with an older file than it had, after all that it held was stored: nothing is lost, and no number is
/// given twice.
pub async fn redis_set_back(ground: &mut Ground<'_>, stores: &Stores) {
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load = ground.load().await;
        stores.tell("kill", "redis").await;
        stores.tell("keep", "redis").await;
        stores.tell("start", "redis").await;
        // What is answered from here on, the kept file does not know.
        load.flows(300).await;
        let load = load.pause().await;
        rest::come(ground).await.expect("it comes to rest");
        ground.strike(&load);
        stores.tell("kill", "redis").await;
        stores.tell("back", "redis").await;
        stores.tell("start", "redis").await;
        ground.heal(&load);
        let load = load.resume();
        ground.settle(load).await;
    }
}
