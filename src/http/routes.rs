//! The routes: one list, from which both the server's and their description come.

use actix_web::{
    HttpResponse, Resource,
    http::{Method, header::ALLOW},
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use utoipa::{
    __dev::{SchemaReferences, Tags},
    Path,
    openapi::{
        RefOr, Schema,
        path::{HttpMethod, Operation},
    },
};

use crate::telemetry::access_log::Template;

use super::{
    applications, chats, docs,
    error::HttpError,
    messages,
    middleware::{compression, etag},
    openapi, ops, search,
};

/// One method of one path: what answers it, and what is said of it.
pub struct Route {
    /// The path's template: `/application/{app}`.
    pub path: String,
    /// The method.
    pub method: HttpMethod,
    /// Its description.
    pub operation: Operation,
    /// Adds the schemas that the description names, each with its name.
    pub schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
    /// Puts the handler behind what chooses it.
    handler: fn(actix_web::Route) -> actix_web::Route,
}

impl Route {
    fn new<D: Path + SchemaReferences + Tags<'static>>(
        handler: fn(actix_web::Route) -> actix_web::Route,
    ) -> Self {
        let mut operation = D::operation();
        // The macro keeps them apart, for who collects routes by its own means.
        operation.tags = Some(D::tags().into_iter().map(str::to_owned).collect());
        Self {
            path: D::path(),
            // The macro of each handler takes exactly one.
            method: D::methods().pop().unwrap_or(HttpMethod::Get),
            operation,
            schemas: D::schemas,
            handler,
        }
    }

    fn verb(&self) -> Method {
        match self.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Delete => Method::DELETE,
            HttpMethod::Options => Method::OPTIONS,
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Trace => Method::TRACE,
        }
    }
}

/// A route for each handler. One without a description (`#[utoipa::path]`) does not compile.
macro_rules! routes {
    ($($module:ident::$handler:ident,)+) => {
        pastey::paste! {
            vec![$(Route::new::<$module::[<__path_ $handler>]>(|route| route.to($module::$handler)),)+]
        }
    };
}

/// Every route of the contract. Those of one path stand together.
pub fn all() -> Vec<Route> {
    routes![
        applications::create,
        applications::show,
        chats::create,
        chats::list,
        chats::create_in_list,
        chats::show,
        messages::create,
        messages::list,
        messages::show,
        messages::update,
        search::by_parameter,
        search::by_path,
        ops::up,
        ops::ready,
        openapi::show,
    ]
}

/// Has the server answer every route, the pages, and whatever else is asked for.
pub fn register(app: &mut ServiceConfig) {
    for routes in all().chunk_by(|one, other| one.path == other.path) {
        let methods = routes.iter().map(|route| (route.verb(), route.handler));
        app.service(resource(&routes[0].path, methods));
    }
    // Pages for people are no part of the API, so nothing is said of them.
    app.service(resource("/docs", [get(|route| route.to(docs::enter))]));
    app.service(resource(
        "/docs/{file:.*}",
        [get(|route| route.to(docs::file))],
    ));
    app.default_service(web::to(async || {
        Err::<HttpResponse, _>(HttpError::NoSuchPath)
    }));
}

type Handler = fn(actix_web::Route) -> actix_web::Route;

fn get(handler: Handler) -> (Method, Handler) {
    (Method::GET, handler)
}

/// A path's methods: the ones it has, HEAD where GET is (the server leaves the body away), OPTIONS; others are a 405.
fn resource(path: &str, methods: impl IntoIterator<Item = (Method, Handler)>) -> Resource {
    let mut resource = web::resource(path).app_data(Template::new(path));
    let mut allowed = Vec::new();
    for (method, handler) in methods {
        if method == Method::GET {
            let read = |method| {
                handler(method)
                    .wrap(from_fn(etag::add))
                    .wrap(from_fn(compression::compress))
            };
            resource = resource.route(read(web::head())).route(read(web::get()));
            allowed.push(Method::HEAD.to_string());
        } else {
            resource = resource.route(handler(web::method(method.clone())));
        }
        allowed.push(method.to_string());
    }
    allowed.push(Method::OPTIONS.to_string());
    let allow = allowed.join(", ");
    let options = allow.clone();
    let options = web::method(Method::OPTIONS).to(move || {
        let allow = options.clone();
        async move {
            HttpResponse::NoContent()
                .insert_header((ALLOW, allow))
                .finish()
        }
    });
    resource.route(options).default_service(web::to(move || {
        let allow = allow.clone();
        async move { Err::<HttpResponse, _>(HttpError::MethodNotAllowed { allow }) }
    }))
}
