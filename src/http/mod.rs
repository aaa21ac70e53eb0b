//! HTTP server of the API. Handlers parse requests and make responses; the use cases are in `service`.

mod error;
mod error_responses;
mod extract;
mod forwarded;
mod listeners;
mod memory;
mod middleware;
pub mod openapi;
mod response;
mod router;
mod routes;
mod waiting;

use std::{io, num::NonZero, sync::Arc, thread};

use actix_cors::Cors;
use actix_web::{
    App,
    dev::Server,
    middleware::{Condition, Next, from_fn},
    web::Data,
};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;
use tracing_actix_web::TracingLogger;

pub use self::listeners::Listeners;
use self::{
    extract::body::BodyTimeout,
    memory::ResponseMemory,
    middleware::{
        access,
        cross_site::{self, SitePolicy},
        failure,
        rate_limit::{self, RateLimit},
    },
    routes::openapi::Json,
    waiting::WaitingRequests,
};
use crate::{
    auth::Auth,
    config, failpoints,
    listener::server,
    readiness::Readiness,
    service::Service,
    telemetry::access_log::{RequestSpan, Template, log_request},
};

/// Starts the server. It serves requests while it is polled.
///
/// # Errors
///
/// Listeners that the system does not let it use.
pub fn serve(
    settings: &config::Settings,
    listeners: Listeners,
    service: Arc<Service>,
    readiness: Arc<Readiness>,
    auth: Arc<Auth>,
) -> io::Result<Server> {
    let mode = auth.mode();
    let rate_limit = Data::new(RateLimit::new(&settings.limits));
    let wait = settings.server.client_timeout;
    let memory = Data::new(ResponseMemory::new(&settings.limits, wait));
    let waiting = Data::new(WaitingRequests::new(&settings.limits));
    let sites = Data::new(SitePolicy::new(settings));
    let settings = &settings.server;
    let origins = settings.cors_origins.clone();
    let (service, readiness) = (Data::from(service), Data::from(readiness));
    let auth = Data::from(auth);
    let description = Data::new(Json::new(Box::new(move || {
        openapi::document(mode).to_json().unwrap_or_default().into()
    })));
    let body_timeout = BodyTimeout(settings.client_timeout);
    // Each thread of the server has its own runtime, which ends with the thread. Connections to stores that a request
    // opens must live as long as the process, so requests run in the context of the main runtime.
    let runtime = Handle::current();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let app = move || {
        failpoints::hit("server_thread");
        let runtime = runtime.clone();
        App::new()
            .wrap(from_fn(cross_site::check))
            .wrap(from_fn(rate_limit::check))
            .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
            .wrap(from_fn(failure::complete))
            .wrap(from_fn(move |request, next: Next<_>| {
                let response = async {
                    let response = log_request(request, next, access::actor).await?;
                    error::log(&response);
                    Ok(response)
                };
                TokioContext::new(response, runtime.clone())
            }))
            .wrap(TracingLogger::<RequestSpan>::new())
            .app_data(rate_limit.clone())
            .app_data(memory.clone())
            .app_data(waiting.clone())
            .app_data(sites.clone())
            .app_data(auth.clone())
            .app_data(service.clone())
            .app_data(readiness.clone())
            .app_data(description.clone())
            .app_data(body_timeout)
            .app_data(access::late_check())
            .app_data(Template::unmatched())
            .configure(|app| router::register(app, mode))
    };
    let limits = server::Limits {
        threads,
        connections: settings.connections,
        head_timeout: settings.client_timeout,
        write_timeout: settings.write_timeout,
        shutdown_timeout: settings.shutdown_timeout,
    };
    server::serve(&limits, listeners.tcp, listeners.unix, app)
}

/// CORS for these origins, without credentials: the API uses no cookies.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "DELETE"])
        .allow_any_header()
        .expose_headers([
            "Confab-State",
            "ETag",
            "Idempotent-Replayed",
            "Link",
            "Location",
            "Retry-After",
            "WWW-Authenticate",
            "X-Request-Id",
        ])
        .max_age(7200);
    origins
        .iter()
        .fold(cors, |cors, origin| cors.allowed_origin(origin))
}
