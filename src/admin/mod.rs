//! The listener for operators: the administration of jobs as JSON, what Prometheus scrapes, and the dashboard.
//!
//! It is never the API's port. `access` checks every request before its handler runs.

mod access;
mod api;
mod collector;
mod dashboard;
mod error;
mod history;
mod listing;
mod page;
mod readiness;

use std::{io, sync::Arc, time::Duration};

use actix_web::{
    App,
    dev::Server,
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};
use tokio::runtime::Handle;
use tokio_util::{context::TokioContext, sync::CancellationToken};
use tracing_actix_web::TracingLogger;

use self::{access::AccessPolicy, collector::Collector, history::History};
use crate::{
    auth::{AuthMode, Keys},
    config, failpoints,
    listener::{bind, server},
    maintenance::Maintenance,
    readiness::Readiness,
    telemetry::{
        access_log::{RequestSpan, log_request},
        worker_status::ProcessStatus,
        write_counters::WriteCounters,
    },
};

/// Maximum number of connections: a few operators, a scraper, and the parallel connections of browsers.
const CONNECTIONS: usize = 256;

/// Time limit for open requests at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Access to the API, as the dashboard shows it.
pub struct ApiAccess {
    /// The keys.
    pub keys: Keys,
    /// Mode of access.
    pub mode: AuthMode,
    /// Address of the API that other machines may reach, if there is one.
    pub reachable_address: Option<String>,
}

/// State that pages and routes share.
#[derive(Clone)]
pub struct AdminState {
    maintenance: Maintenance,
    process: Arc<ProcessStatus>,
    readiness: Arc<Readiness>,
    counters: Arc<WriteCounters>,
    api_access: Arc<ApiAccess>,
    history: Arc<History>,
    collector: Arc<Collector>,
    /// Cancelled when the process is to end.
    stop: CancellationToken,
}

impl AdminState {
    /// The state of this process.
    pub fn new(
        maintenance: Maintenance,
        process: Arc<ProcessStatus>,
        readiness: Arc<Readiness>,
        counters: Arc<WriteCounters>,
        api_access: ApiAccess,
        stop: CancellationToken,
    ) -> Self {
        Self {
            collector: Arc::new(Collector::new(maintenance.clone(), process.clone())),
            maintenance,
            process,
            readiness,
            counters,
            api_access: Arc::new(api_access),
            history: Arc::default(),
            stop,
        }
    }

    /// Keeps the history of the charts until the process ends.
    pub async fn keep_history(self) {
        History::keep(&self).await;
    }
}

/// Starts to listen; what comes is answered once the server is polled. `None` if it is off.
///
/// # Errors
///
/// An address that cannot be listened on.
pub fn serve(
    settings: &config::Admin,
    api: &config::Server,
    state: AdminState,
) -> io::Result<Option<Server>> {
    if settings.port == 0 {
        return Ok(None);
    }
    let access = Data::new(AccessPolicy::new(settings));
    let state = Data::new(state);
    // Connections to stores must outlive the thread that happened to open them: see `http::serve`.
    let runtime = Handle::current();
    let app = move || {
        failpoints::hit("admin_thread");
        let runtime = runtime.clone();
        App::new()
            .wrap(from_fn(access::check))
            .wrap(from_fn(move |request, next: Next<_>| {
                TokioContext::new(log_request(request, next, |_| None), runtime.clone())
            }))
            .wrap(TracingLogger::<RequestSpan>::new())
            .app_data(access.clone())
            .app_data(state.clone())
            .configure(routes)
    };
    let limits = server::Limits {
        threads: 1,
        connections: CONNECTIONS,
        head_timeout: api.client_timeout,
        write_timeout: api.write_timeout,
        shutdown_timeout: SHUTDOWN,
    };
    let listeners = bind::tcp(std::slice::from_ref(&settings.host), settings.port)?;
    for listener in &listeners {
        tracing::info!("Dashboard listening on http://{}", listener.local_addr()?);
    }
    server::serve(&limits, listeners, None, app).map(Some)
}

/// Every route; what is not JSON for programs is a page for people.
fn routes(app: &mut ServiceConfig) {
    app.configure(api::routes)
        .configure(dashboard::routes)
        .route("/readyz", web::get().to(readiness::show))
        .route("/metrics", web::get().to(collector::metrics))
        .default_service(web::to(error::no_such_page));
}
