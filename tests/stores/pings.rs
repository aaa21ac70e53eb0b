//! What readiness asks the stores.

use confab::stores::{Backend, Error};

use crate::{
    rig::Rig,
    support::{OwnRedis, Proxy, Site, on_each_backing, on_services},
};

/// The errors of queue, rows and index.
async fn probe(backend: &Backend) -> [Option<Error>; 3] {
    backend.probe().await.map(|probe| probe.error)
}

async fn healthy_stores_answer(site: &Site) {
    let rig = Rig::new(site).await;
    assert_eq!(probe(&rig.backend).await, [None, None, None]);
}

async fn a_redis_that_may_lose_jobs_is_refused(site: &Site) {
    let keeps = ["--appendonly", "yes", "--maxmemory-policy", "noeviction"];
    let evicts = ["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"];
    let forgets = ["--appendonly", "no", "--maxmemory-policy", "noeviction"];
    for (settings, refused) in [
        (keeps, None),
        (evicts, Some("allkeys-lru")),
        (forgets, Some("appendonly")),
    ] {
        let redis = OwnRedis::start(site, &settings).await;
        let rig = Rig::with(site, &[("CONFAB_SERVICES__REDIS_URL", &redis.url)]).await;
        let [queue, ..] = probe(&rig.backend).await;
        match (queue, refused) {
            (None, None) => {}
            (Some(Error::Failed { detail, .. }), Some(why)) => {
                assert!(detail.contains(why), "{detail}");
            }
            (answer, _) => panic!("{settings:?}: {answer:?}"),
        }
    }
}

async fn a_store_out_of_reach_is_an_outage(site: &Site) {
    let services = site.services();
    let gone = [
        Proxy::refusing(&services.mysql_url),
        Proxy::refusing(&services.redis_url),
        Proxy::refusing(&services.elasticsearch_url),
    ];
    let [mysql, redis, elasticsearch] = gone.each_ref().map(Proxy::url);
    let rig = Rig::new(site).await;
    let stores = rig.elsewhere(&[
        ("CONFAB_SERVICES__MYSQL_URL", &mysql),
        ("CONFAB_SERVICES__REDIS_URL", &redis),
        ("CONFAB_SERVICES__ELASTICSEARCH_URL", &elasticsearch),
    ]);
    let errors = probe(&stores).await;
    let outage = |error: &Option<Error>| matches!(error, Some(Error::Unavailable { .. }));
    assert!(errors.iter().all(outage), "{errors:?}");
}

async fn an_index_that_is_gone_is_told_from_an_outage(site: &Site) {
    let rig = Rig::new(site).await;
    let elasticsearch = site.services().elasticsearch();
    elasticsearch.remove_indices().await.expect("it is deleted");
    let [_, _, index] = probe(&rig.backend).await;
    assert!(matches!(index, Some(Error::IndexMissing(_))), "{index:?}");
}

on_each_backing!(healthy_stores_answer);

on_services!(
    a_redis_that_may_lose_jobs_is_refused,
    a_store_out_of_reach_is_an_outage,
    an_index_that_is_gone_is_told_from_an_outage,
);
