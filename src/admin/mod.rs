//! The listener for operators: the administration of jobs as JSON, what Prometheus scrapes, and the dashboard.
//!
//! It is never the API's port, and who may come in is decided in one place, `guard`, before any handler runs.

mod api;
pub mod collector;
mod dashboard;
mod error;
mod guard;
mod history;
mod listing;
mod metrics;

use std::{io, sync::Arc, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::Server,
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};
use tokio::runtime::Handle;
use tokio_util::{context::TokioContext, sync::CancellationToken};
use tracing_actix_web::TracingLogger;

pub use self::history::History;
use self::{collector::Scrape, guard::Guard};
use crate::{
    config,
    service::Service,
    stores::{JobQueue, Records},
    telemetry::access_log::{RequestSpan, observe},
    telemetry::activity::Activity,
    telemetry::worker_status::Health,
};

/// Connections at most: a few operators, a scraper, and what a browser opens beside.
const CONNECTIONS: usize = 256;

/// How long what is in hand may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What the pages and routes show and change.
#[derive(Clone)]
pub struct Desk {
    /// The jobs.
    pub queue: Arc<dyn JobQueue>,
    /// The rows, for how far the index is behind them.
    pub records: Arc<dyn Records>,
    /// For how the stores do.
    pub service: Arc<Service>,
    /// How the workers do.
    pub health: Arc<Health>,
    /// What was accepted and stored.
    pub activity: Arc<Activity>,
    /// What charts are drawn of.
    pub history: Arc<History>,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
    /// What is measured.
    pub scrape: Arc<Scrape>,
}

/// Starts to listen; what comes is answered once the server is polled. `None` if it is off.
///
/// # Errors
///
/// An address that cannot be listened on.
pub fn serve(
    settings: &config::Admin,
    client_timeout: Duration,
    desk: Desk,
) -> io::Result<Option<Server>> {
    if settings.port == 0 {
        return Ok(None);
    }
    let looking = desk.clone();
    let guard = Data::new(Guard::new(settings));
    let desk = Data::new(desk);
    // Connections to stores must outlive the thread that happened to open them: see `http::serve`.
    let lasting = Handle::current();
    let server = HttpServer::new(move || {
        let lasting = lasting.clone();
        App::new()
            .wrap(from_fn(guard::check))
            .wrap(from_fn(move |request, next: Next<_>| {
                TokioContext::new(observe(request, next), lasting.clone())
            }))
            .wrap(TracingLogger::<RequestSpan>::new())
            .app_data(guard.clone())
            .app_data(desk.clone())
            .configure(routes)
    })
    .workers(1)
    .disable_signals()
    .max_connections(CONNECTIONS)
    .client_request_timeout(client_timeout)
    .shutdown_timeout(SHUTDOWN.as_secs())
    .bind((unbracketed(&settings.host), settings.port))?;
    for address in server.addrs() {
        tracing::info!("the admin listener is on http://{address}");
    }
    tokio::spawn(async move { History::keep(&looking).await });
    Ok(Some(server.run()))
}

fn unbracketed(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Every route; what is not JSON for programs is a page for people.
fn routes(app: &mut ServiceConfig) {
    app.configure(api::routes)
        .configure(dashboard::routes)
        .route("/metrics", web::get().to(metrics::metrics))
        .default_service(web::to(error::no_such_page));
}
