//! Stores that cannot be reached for a while, in one way or another, by way of a proxy.

use std::time::{Duration, Instant};

use rand::Rng as _;

use crate::{
    ground::Ground,
    load::Load,
    plan::{is_full, rounds},
    support::Proxy,
};

/// How long a store is away, and once in the whole suite.
const AWAY: Duration = Duration::from_secs(5);
const LONG_AWAY: Duration = Duration::from_secs(30);
/// Clients rest a little here: what a machine can take in half a minute would take minutes to compare.
pub const PACE: Duration = Duration::from_millis(40);

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Mysql,
    Redis,
    Elasticsearch,
}

/// Puts a proxy, which is open, between the processes to be started and that store.
pub async fn behind_proxy(ground: &mut Ground<'_>, store: Store) -> Proxy {
    let services = ground.site.services();
    let (target, setting) = match store {
        Store::Mysql => (&services.mysql_url, "CONFAB_SERVICES__MYSQL_URL"),
        Store::Redis => (&services.redis_url, "CONFAB_SERVICES__REDIS_URL"),
        Store::Elasticsearch => (
            &services.elasticsearch_url,
            "CONFAB_SERVICES__ELASTICSEARCH_URL",
        ),
    };
    let mut proxy = Proxy::refusing(target);
    proxy.open().await;
    ground.settings.push((setting, proxy.url()));
    proxy
}

/// Connections are cut, and new ones refused.
pub async fn gone(ground: &mut Ground<'_>, store: Store) {
    away(ground, store, async |proxy: &mut Proxy, time| {
        proxy.cut().await;
        tokio::time::sleep(time).await;
        proxy.open().await;
    })
    .await;
}

/// Connections are accepted, and no byte passes, on those neither that there are.
pub async fn hanging(ground: &mut Ground<'_>, store: Store) {
    away(ground, store, async |proxy: &mut Proxy, time| {
        proxy.hang();
        tokio::time::sleep(time).await;
        proxy.resume();
    })
    .await;
}

async fn away(
    ground: &mut Ground<'_>,
    store: Store,
    mut fault: impl AsyncFnMut(&mut Proxy, Duration),
) {
    let mut proxy = behind_proxy(ground, store).await;
    ground.start(2).await;
    for round in 0..rounds(1, 5) {
        let load = ground.load_with(PACE).await;
        ground.strike(&load);
        let long = is_full() && round == 1;
        fault(&mut proxy, if long { LONG_AWAY } else { AWAY }).await;
        ground.heal(&load);
        ground.settle(load).await;
    }
}

/// Connections are cut in the middle of whatever is under way, again and again.
pub async fn cut(ground: &mut Ground<'_>, store: Store) {
    let proxy = behind_proxy(ground, store).await;
    ground.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load: Load = ground.load_with(PACE / 4).await;
        ground.strike(&load);
        let end = Instant::now() + AWAY;
        while Instant::now() < end {
            proxy.cut_now();
            let pause = ground.dice.random_range(20..300);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        ground.heal(&load);
        ground.settle(load).await;
    }
}
