//! The HTTP contract: one handler a route, thin. What it means is in `service`.

mod body;
mod error;
mod error_responses;
mod middleware;
pub mod openapi;
mod paging;
mod path;
mod router;
mod routes;

use std::{io, num::NonZero, sync::Arc, thread};

use actix_cors::Cors;
use actix_web::{
    App, HttpResponse, HttpResponseBuilder, HttpServer,
    dev::Server,
    middleware::{Condition, Next, from_fn},
    web::Data,
};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;
use tracing_actix_web::TracingLogger;

use self::{
    body::BodyTimeout,
    middleware::rate_limit::{self, RateLimit},
    routes::openapi::Json,
};
use crate::{
    config,
    service::Service,
    telemetry::access_log::{RequestSpan, Template, observe},
    telemetry::worker_status::Health,
};

/// Starts to listen; what comes is answered once the server is polled.
///
/// # Errors
///
/// An address that cannot be listened on.
pub fn serve(
    settings: &config::Settings,
    service: Arc<Service>,
    health: Arc<Health>,
) -> io::Result<Server> {
    let rate_limit = Data::new(RateLimit::new(&settings.limits));
    let settings = &settings.server;
    let origins = settings.cors_origins.clone();
    let (service, health) = (Data::from(service), Data::from(health));
    let json = openapi::document().to_json().map_err(io::Error::other)?;
    let description = Data::new(Json(json.into()));
    let body_timeout = BodyTimeout(settings.client_timeout);
    // Each of the server's threads has a runtime of its own, which ends with it. What a request leaves behind for others,
    // a connection to a store above all, must live as long as the process.
    let lasting = Handle::current();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut server = HttpServer::new(move || {
        let lasting = lasting.clone();
        App::new()
            .wrap(from_fn(rate_limit::check))
            .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
            .wrap(from_fn(move |request, next: Next<_>| {
                let answered = async {
                    let response = observe(request, next).await?;
                    error::log(&response);
                    Ok(response)
                };
                TokioContext::new(answered, lasting.clone())
            }))
            .wrap(TracingLogger::<RequestSpan>::new())
            .app_data(rate_limit.clone())
            .app_data(service.clone())
            .app_data(health.clone())
            .app_data(description.clone())
            .app_data(body_timeout)
            .app_data(Template::unmatched())
            .configure(router::register)
    })
    .disable_signals()
    .workers(threads)
    // It counts them thread by thread.
    .max_connections(settings.connections.div_ceil(threads))
    .client_request_timeout(settings.client_timeout)
    .shutdown_timeout(settings.shutdown_timeout.as_secs())
    .bind((settings.host.as_str(), settings.port))?;
    if settings.creation_port != 0 {
        server = server.bind((settings.host.as_str(), settings.creation_port))?;
    }
    for address in server.addrs() {
        tracing::info!("listening on http://{address}");
    }
    Ok(server.run())
}

/// Lets the pages of these origins use the API, without cookies or the like, as it knows none.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT"])
        .allow_any_header()
        .expose_headers([
            "Confab-State",
            "ETag",
            "Link",
            "Location",
            "Retry-After",
            "X-Request-Id",
        ])
        .max_age(3600);
    origins
        .iter()
        .fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// The beginning of every answer to a read. Where the queue was out of reach, only what is stored could be read.
fn respond(stale: bool) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    if stale {
        response.insert_header(("Confab-State", "stale"));
    }
    response
}
