//! The one place that picks the backing and wires it up.

use std::{sync::Arc, time::Duration};

use actix_web::dev::Server;
use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admin::{self, Desk, collector::Scrape},
    config::{Backing, Settings},
    http,
    service::Service,
    shutdown,
    stores::wakeup::Wake,
    stores::{
        self, JobQueue, Records, SearchIndex,
        elasticsearch::ElasticsearchIndex,
        measured::{MeasuredIndex, MeasuredQueue, MeasuredRecords},
        mysql::MysqlRecords,
        redis::{RedisQueue, RedisSettings},
        sqlite::{SqliteSettings, SqliteStores, place},
    },
    systemd::Supervisor,
    telemetry::{activity::Activity, logging, metrics, worker_status::Health},
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
    /// The file that is all three, on the embedded backing.
    embedded: Option<Arc<SqliteStores>>,
}

impl App {
    /// Prepares the stores; nothing is reached or opened yet.
    ///
    /// # Errors
    ///
    /// Settings that a store cannot make sense of.
    pub fn new(settings: &Settings) -> stores::Result<Self> {
        match settings.backing {
            Backing::Embedded => Self::on_sqlite(settings),
            Backing::Services => Self::on_services(settings),
        }
    }

    fn on_sqlite(settings: &Settings) -> stores::Result<Self> {
        let configured = &settings.embedded.path;
        let file = if configured.as_os_str().is_empty() {
            place::default_file(|name| std::env::var_os(name))
        } else {
            Some(configured.clone())
        };
        let stores = Arc::new(SqliteStores::new(SqliteSettings {
            file: file.ok_or_else(|| stores::Error::Unavailable {
                store: "SQLite",
                detail: "there is no home folder to put the file into: name one by embedded.path"
                    .into(),
            })?,
            timeout: settings.embedded.timeout,
            queue_depth: settings.limits.queue_depth,
            dead_letters: settings.limits.dead_letters,
        })?);
        Ok(Self {
            records: Arc::new(MeasuredRecords::new(stores.clone())),
            queue: Arc::new(MeasuredQueue::new(stores.clone())),
            index: Arc::new(MeasuredIndex::new(stores.clone())),
            embedded: Some(stores),
        })
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
            services.elasticsearch_write_timeout,
        )?;
        Ok(Self {
            records: Arc::new(MeasuredRecords::new(records)),
            queue: Arc::new(MeasuredQueue::new(Arc::new(queue))),
            index: Arc::new(MeasuredIndex::new(Arc::new(index))),
            embedded: None,
        })
    }

    /// Answers requests and runs the workers until a signal ends it: then nothing new is begun, and what is in hand is
    /// finished.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on, or signals that cannot; a file that cannot be opened, or that another
    /// process serves.
    pub async fn serve(self, settings: &Settings, migrate: bool) -> anyhow::Result<()> {
        if let Some(file) = &self.embedded {
            file.serve_alone()?;
            // A file is there or it is not: waiting for it to come up would only hide what is wrong.
            if migrate {
                self.records.migrate().await?;
            }
            info!("the data is in {}", file.file());
        }
        // A connection is an open file, and many systems let a program have but 1,024 unless it asks for more.
        match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(files) if files < settings.server.connections as u64 => warn!(
                files,
                "this process may open fewer files than server.connections: raise its limit (ulimit -n, LimitNOFILE)"
            ),
            Ok(_) => {}
            Err(error) => warn!(%error, "cannot raise the limit of open files"),
        }
        tokio::spawn(metrics::keep_up());
        let wake = Arc::new(Wake::default());
        let activity = Arc::new(Activity::default());
        let service = Arc::new(Service::new(
            self.records.clone(),
            self.queue.clone(),
            self.index.clone(),
            wake.clone(),
            activity.clone(),
        ));
        let health = Arc::new(Health::default());
        let server = http::serve(settings, service.clone(), health.clone()).with_context(|| {
            let server = &settings.server;
            format!("cannot listen on {}, port {}", server.host, server.port)
        })?;
        let stop = CancellationToken::new();
        let desk = Desk {
            queue: self.queue.clone(),
            records: self.records.clone(),
            scrape: Arc::new(Scrape::new(service.clone(), health.clone())),
            service,
            health: health.clone(),
            activity: activity.clone(),
            history: Arc::default(),
            stop: stop.clone(),
        };
        let timeout = settings.server.client_timeout;
        let admin = admin::serve(&settings.admin, timeout, desk).with_context(|| {
            let admin = &settings.admin;
            format!(
                "cannot listen on {}, port {} (admin.host, admin.port; port 0 does without)",
                admin.host, admin.port
            )
        })?;
        info!(
            "try: curl -d '{{\"username\":\"me\"}}' -H 'Content-Type: application/json' http://{}:{}/application",
            settings.server.host, settings.server.port
        );
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let admin_handle = admin.as_ref().map(Server::handle);
        if let Some(admin) = admin {
            tokio::spawn(admin);
        }
        let supervisor = Supervisor::new(health.clone());
        // Ready to be asked, that is: with a store not up yet too, which /readyz tells of.
        supervisor.ready();

        let context = workers::Context {
            records: self.records.clone(),
            queue: self.queue,
            index: self.index,
            wake,
            activity,
            drift: Arc::default(),
            settings: settings.workers.clone(),
            health: health.clone(),
            stop: stop.clone(),
        };
        let records = self.records;
        let migrates_later = self.embedded.is_none();
        let working = tokio::spawn(async move {
            if migrate && migrates_later {
                let migrated = context
                    .stop
                    .run_until_cancelled(migrate_until_done(&*records));
                if migrated.await.is_none() {
                    return;
                }
            }
            workers::start(&context).wait().await;
        });

        shutdown::requested().await?;
        info!("ending: requests and batches in hand are finished");
        health.end();
        supervisor.stopping();
        stop.cancel();
        let finish = async {
            tokio::time::sleep(settings.server.drain).await;
            handle.stop(true).await;
            let _ = working.await;
            let _ = serving.await;
            // The last to go: until then operators want to see how the rest ends.
            if let Some(admin) = admin_handle {
                admin.stop(true).await;
            }
        };
        let code = tokio::select! {
            () = finish => {
                info!("ended");
                return Ok(());
            }
            () = tokio::time::sleep(settings.server.shutdown_timeout) => {
                warn!("ended before all was finished; what was in hand is taken over after its lease");
                0
            }
            _ = shutdown::requested() => {
                warn!("ended at once, at a second signal; what was in hand is taken over after its lease");
                1
            }
        };
        // Nothing more is waited for, not even a disk that does not answer.
        logging::end();
        std::process::exit(code)
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
