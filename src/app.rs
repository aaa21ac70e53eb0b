//! The one place that picks the backing and wires it up.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::{Backing, Settings},
    http,
    service::Service,
    shutdown,
    stores::{
        self, JobQueue, Records, SearchIndex,
        elasticsearch::ElasticsearchIndex,
        mysql::MysqlRecords,
        redis::{RedisQueue, RedisSettings},
    },
    wake::Wake,
    workers,
};

/// How long to wait before another attempt to migrate a database that is not up yet.
const MIGRATE_AGAIN: Duration = Duration::from_millis(500);

/// The stores of the chosen backing.
pub struct App {
    /// The rows.
    pub records: Arc<dyn Records>,
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// The full text.
    pub index: Arc<dyn SearchIndex>,
}

impl App {
    /// Prepares the stores; on the services backing nothing is reached yet.
    ///
    /// # Errors
    ///
    /// Settings that a store cannot make sense of.
    pub fn new(settings: &Settings) -> stores::Result<Self> {
        match settings.backing {
            Backing::Services => Self::on_services(settings),
        }
    }

    fn on_services(settings: &Settings) -> stores::Result<Self> {
        let services = &settings.services;
        let records = Arc::new(MysqlRecords::new(
            services.mysql_url.expose(),
            services.mysql_connections,
            services.timeout,
        )?);
        let queue = RedisQueue::new(
            services.redis_url.expose(),
            RedisSettings {
                prefix: services.redis_prefix.clone(),
                pool_size: services.redis_connections,
                timeout: services.timeout,
                queue_depth: settings.limits.queue_depth,
                dead_letters: settings.limits.dead_letters,
            },
            records.clone(),
        )?;
        let index = ElasticsearchIndex::new(
            services.elasticsearch_url.expose(),
            &services.elasticsearch_index,
            services.timeout,
        )?;
        Ok(Self {
            records,
            queue: Arc::new(queue),
            index: Arc::new(index),
        })
    }

    /// Answers requests and runs the workers until a signal ends it: then nothing new is begun, and what is in hand is
    /// finished.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on, or signals that cannot.
    pub async fn serve(self, settings: &Settings, migrate: bool) -> anyhow::Result<()> {
        let wake = Arc::new(Wake::default());
        let service = Arc::new(Service::new(
            self.records.clone(),
            self.queue.clone(),
            self.index.clone(),
            wake.clone(),
        ));
        let server = http::serve(&settings.server, service).with_context(|| {
            let server = &settings.server;
            format!("cannot listen on {}, port {}", server.host, server.port)
        })?;
        let handle = server.handle();
        let serving = tokio::spawn(server);

        let stop = CancellationToken::new();
        let context = workers::Context {
            records: self.records.clone(),
            queue: self.queue,
            index: self.index,
            wake,
            settings: settings.workers.clone(),
            stop: stop.clone(),
        };
        let records = self.records;
        let working = tokio::spawn(async move {
            if migrate {
                let migrated = context
                    .stop
                    .run_until_cancelled(migrate_until_done(&*records));
                if migrated.await.is_none() {
                    return;
                }
            }
            if context.settings.enabled {
                workers::start(&context).wait().await;
            }
        });

        shutdown::requested().await?;
        info!("ending: requests and batches in hand are finished");
        stop.cancel();
        let finish = async {
            handle.stop(true).await;
            let _ = working.await;
            let _ = serving.await;
        };
        tokio::select! {
            () = finish => info!("ended"),
            () = tokio::time::sleep(settings.server.shutdown_timeout) => {
                warn!("ended before all was finished; what was in hand is taken over after its lease");
            }
            _ = shutdown::requested() => warn!("ended at once, at a second signal"),
        }
        Ok(())
    }
}

/// Brings the schema up to date as soon as the database is there.
async fn migrate_until_done(records: &dyn Records) {
    let mut failures = 0_u32;
    while let Err(error) = records.migrate().await {
        // The first is told, and then one in a minute.
        if failures.is_multiple_of(120) {
            warn!(%error, "cannot migrate yet");
        }
        failures += 1;
        tokio::time::sleep(MIGRATE_AGAIN).await;
    }
}
