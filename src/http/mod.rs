//! The HTTP contract: one handler a route, thin. What it means is in `service`.

mod applications;
mod body;
mod chats;
mod error;
mod messages;
mod ops;
mod paging;
mod path;
mod search;

use std::{io, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpResponseBuilder, HttpServer, Route,
    dev::Server,
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;
use tracing_actix_web::TracingLogger;

use self::{body::BodyTimeout, error::HttpError};
use crate::{
    config,
    health::Health,
    observe::{RequestSpan, Template, observe},
    service::Service,
};

/// Starts to listen; what comes is answered once the server is polled.
///
/// # Errors
///
/// An address that cannot be listened on.
pub fn serve(
    settings: &config::Server,
    service: Arc<Service>,
    health: Arc<Health>,
) -> io::Result<Server> {
    let (service, health) = (Data::from(service), Data::from(health));
    let body_timeout = BodyTimeout(settings.client_timeout);
    // Each of the server's threads has a runtime of its own, which ends with it. What a request leaves behind for others,
    // a connection to a store above all, must live as long as the process.
    let lasting = Handle::current();
    let mut server = HttpServer::new(move || {
        let lasting = lasting.clone();
        App::new()
            .wrap(from_fn(move |request, next: Next<_>| {
                TokioContext::new(observe(request, next), lasting.clone())
            }))
            .wrap(TracingLogger::<RequestSpan>::new())
            .app_data(service.clone())
            .app_data(health.clone())
            .app_data(body_timeout)
            .configure(routes)
    })
    .disable_signals()
    .max_connections(settings.connections)
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

/// The beginning of every answer to a read. Where the queue was out of reach, only what is stored could be read.
fn respond(stale: bool) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    if stale {
        response.insert_header(("Confab-State", "stale"));
    }
    response
}

/// Every route of the contract.
fn routes(app: &mut ServiceConfig) {
    const CHAT: &str = "/application/{app}/chat/{chat}";
    let route = |path: &str, routes: Vec<Route>, allow: &'static str| {
        let resource = web::resource(path)
            .app_data(Template::new(path))
            .default_service(web::to(move || async move {
                Err::<HttpResponse, _>(HttpError::MethodNotAllowed { allow })
            }));
        routes
            .into_iter()
            .fold(resource, actix_web::Resource::route)
    };
    let get = web::get;
    let post = web::post;
    app.service(route("/up", vec![get().to(ops::up)], "GET"))
        .service(route("/readyz", vec![get().to(ops::ready)], "GET"))
        .service(route(
            "/application",
            vec![post().to(applications::create)],
            "POST",
        ))
        .service(route(
            "/application/{app}",
            vec![get().to(applications::show)],
            "GET",
        ))
        .service(route(
            "/application/{app}/chat",
            vec![post().to(chats::create)],
            "POST",
        ))
        .service(route(
            "/application/{app}/chats",
            vec![get().to(chats::list), post().to(chats::create)],
            "GET, POST",
        ))
        .service(route(CHAT, vec![get().to(chats::show)], "GET"))
        .service(route(
            &format!("{CHAT}/message"),
            vec![post().to(messages::create)],
            "POST",
        ))
        .service(route(
            &format!("{CHAT}/messages"),
            vec![get().to(messages::list)],
            "GET",
        ))
        .service(route(
            &format!("{CHAT}/message/{{message}}"),
            vec![get().to(messages::show), web::put().to(messages::update)],
            "GET, PUT",
        ))
        .service(route(
            &format!("{CHAT}/search"),
            vec![get().to(search::by_parameter)],
            "GET",
        ))
        .service(route(
            &format!("{CHAT}/search/{{query}}"),
            vec![get().to(search::by_path)],
            "GET",
        ))
        .default_service(web::to(async || {
            Err::<HttpResponse, _>(HttpError::NoSuchPath)
        }));
}
