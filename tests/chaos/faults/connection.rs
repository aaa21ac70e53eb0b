//! Stores that are unreachable for a while, by means of a proxy.

use std::time::{Duration, Instant};

use rand::Rng as _;

use crate::{
    load::{Load, THINK_TIME},
    plan::{is_full, rounds},
    support::Proxy,
    trial::Trial,
};

/// Duration for which a store is unreachable; the second once in the whole suite.
const OUTAGE: Duration = Duration::from_secs(5);
const LONG_OUTAGE: Duration = Duration::from_secs(30);

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Mysql,
    Redis,
    Elasticsearch,
}

/// Puts an open proxy between that store and the processes started later.
pub async fn behind_proxy(trial: &mut Trial<'_>, store: Store) -> Proxy {
    let services = trial.fixture.services();
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
    trial.settings.push((setting, proxy.url()));
    proxy
}

/// Connections are cut, and new ones are refused.
pub async fn unreachable(trial: &mut Trial<'_>, store: Store) {
    run_outages(trial, store, async |proxy: &mut Proxy, time| {
        proxy.cut().await;
        tokio::time::sleep(time).await;
        proxy.open().await;
    })
    .await;
}

/// Connections are accepted, but neither new nor existing ones transfer data.
pub async fn hanging(trial: &mut Trial<'_>, store: Store) {
    run_outages(trial, store, async |proxy: &mut Proxy, time| {
        proxy.hang();
        tokio::time::sleep(time).await;
        proxy.resume();
    })
    .await;
}

async fn run_outages(
    trial: &mut Trial<'_>,
    store: Store,
    mut fault: impl AsyncFnMut(&mut Proxy, Duration),
) {
    let mut proxy = behind_proxy(trial, store).await;
    trial.start(2).await;
    for round in 0..rounds(1, 5) {
        let load = trial.load_with(THINK_TIME).await;
        trial.inject(&load);
        let long = is_full() && round == 1;
        fault(&mut proxy, if long { LONG_OUTAGE } else { OUTAGE }).await;
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}

/// Connections are cut repeatedly, in the middle of requests.
pub async fn cut(trial: &mut Trial<'_>, store: Store) {
    let proxy = behind_proxy(trial, store).await;
    trial.start(2).await;
    for _ in 0..rounds(1, 5) {
        let load: Load = trial.load_with(THINK_TIME).await;
        trial.inject(&load);
        let end = Instant::now() + OUTAGE;
        while Instant::now() < end {
            proxy.cut_now();
            let pause = trial.rng.random_range(20..300);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        trial.clear(&load);
        trial.finish_round(load).await;
    }
}
