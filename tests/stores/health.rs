//! The health checks of the stores that readiness uses.

use confab::stores::{Backend, Error};

use crate::{
    support::{DedicatedRedis, Fixture, Proxy, apply, on_each_backend, on_services},
    test_stores::TestStores,
};

/// The errors of queue, rows and index.
async fn probe(backend: &Backend) -> [Option<Error>; 3] {
    backend.probe().await.map(|probe| probe.error)
}

#[apply(on_each_backend!)]
async fn healthy_stores_answer(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    assert_eq!(probe(&stores.backend).await, [None, None, None]);
}

#[apply(on_services!)]
async fn redis_without_durable_settings_is_rejected(fixture: &Fixture) {
    let keeps = ["--appendonly", "yes", "--maxmemory-policy", "noeviction"];
    let evicts = ["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"];
    let forgets = ["--appendonly", "no", "--maxmemory-policy", "noeviction"];
    for (settings, refused) in [
        (keeps, None),
        (evicts, Some("allkeys-lru")),
        (forgets, Some("appendonly")),
    ] {
        let redis = DedicatedRedis::start(fixture, &settings).await;
        let stores = TestStores::with(fixture, &[("CONFAB_SERVICES__REDIS_URL", &redis.url)]).await;
        let [queue, ..] = probe(&stores.backend).await;
        match (queue, refused) {
            (None, None) => {}
            (Some(Error::Failed { detail, .. }), Some(why)) => {
                assert!(detail.contains(why), "{detail}");
            }
            (response, _) => panic!("{settings:?}: {response:?}"),
        }
    }
}

#[apply(on_services!)]
async fn unreachable_store_is_reported_as_an_outage(fixture: &Fixture) {
    let services = fixture.services();
    let gone = [
        Proxy::refusing(&services.mysql_url),
        Proxy::refusing(&services.redis_url),
        Proxy::refusing(&services.elasticsearch_url),
    ];
    let [mysql, redis, elasticsearch] = gone.each_ref().map(Proxy::url);
    let stores = TestStores::new(fixture).await;
    let other = stores.open_with(&[
        ("CONFAB_SERVICES__MYSQL_URL", &mysql),
        ("CONFAB_SERVICES__REDIS_URL", &redis),
        ("CONFAB_SERVICES__ELASTICSEARCH_URL", &elasticsearch),
    ]);
    let errors = probe(&other).await;
    let outage = |error: &Option<Error>| matches!(error, Some(Error::Unavailable { .. }));
    assert!(errors.iter().all(outage), "{errors:?}");
}

#[apply(on_services!)]
async fn missing_index_is_distinguished_from_an_outage(fixture: &Fixture) {
    let stores = TestStores::new(fixture).await;
    let elasticsearch = fixture.services().elasticsearch();
    elasticsearch.remove_indices().await.expect("it is deleted");
    let [_, _, index] = probe(&stores.backend).await;
    assert!(matches!(index, Some(Error::IndexMissing(_))), "{index:?}");
}
