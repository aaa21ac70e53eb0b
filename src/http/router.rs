//! Router: every route of the API, the pages under `/docs`, and the errors of other paths and methods.

use actix_web::{
    HttpResponse, Resource, Route,
    body::BoxBody,
    guard::Acceptable,
    http::{Method, header::ALLOW},
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};
use utoipa::openapi::HttpMethod;

use super::{
    error::{HttpError, HttpResult},
    middleware::{
        access::{self, Rule},
        etag,
    },
    routes::{self, Handler, docs, root},
};
use crate::{
    auth::{Access, AuthMode},
    telemetry::access_log::Template,
};

/// Rule of pages for people, which are not part of the API.
const PAGE: Rule = Rule {
    access: Access::Public,
    has_body: false,
};

/// Registers the routes of a mode.
pub fn register(app: &mut ServiceConfig, mode: AuthMode) {
    for routes in routes::of(mode).chunk_by(|one, other| one.path == other.path) {
        let methods = routes.iter().flat_map(|route| {
            let methods = route.methods.iter().map(method);
            methods.map(|method| (method, route.handler, route.rule))
        });
        app.service(resource(&routes[0].path, methods));
    }
    // They have no description.
    let get = |handler: Handler| [(Method::GET, Some(handler), PAGE)];
    app.service(resource("/docs", get(|route| route.to(docs::redirect))));
    app.service(resource(
        "/docs/{file:.*}",
        get(|route| route.to(docs::file)),
    ));
    let page = |method| {
        let route = web::method(method).guard(Acceptable::new(mime::TEXT_HTML));
        route.to(root::page).wrap(from_fn(etag::complete))
    };
    app.service(
        web::resource("/")
            .app_data(Template::new("/"))
            .route(page(Method::GET))
            .route(page(Method::HEAD))
            .default_service(web::to(no_such_path)),
    );
    app.default_service(web::to(no_such_path));
}

async fn no_such_path() -> HttpResult {
    Err(HttpError::NoSuchPath)
}

fn method(method: &HttpMethod) -> Method {
    match method {
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

/// Resource of a path: its methods, HEAD beside GET (the server drops the body), and OPTIONS. Others are a 405; a method without
/// a handler is a 404.
fn resource(
    path: &str,
    methods: impl IntoIterator<Item = (Method, Option<Handler>, Rule)>,
) -> Resource {
    let mut resource = web::resource(path).app_data(Template::new(path));
    let mut allowed = Vec::new();
    for (method, handler, rule) in methods {
        let Some(handler) = handler else {
            resource = resource.route(web::method(method).to(no_such_path));
            continue;
        };
        // The last middleware runs first.
        let guarded = |route: Route| {
            route.wrap(from_fn(move |request, next: Next<BoxBody>| {
                access::check(rule, request, next)
            }))
        };
        if method == Method::GET {
            let read = |method| guarded(handler(method).wrap(from_fn(etag::complete)));
            resource = resource.route(read(web::head())).route(read(web::get()));
            allowed.push(Method::HEAD.to_string());
        } else {
            resource = resource.route(guarded(handler(web::method(method.clone()))));
        }
        allowed.push(method.to_string());
    }
    allowed.push(Method::OPTIONS.to_string());
    let allow = Allow(allowed.join(", "));
    resource
        .app_data(Data::new(allow))
        .route(web::method(Method::OPTIONS).to(options))
        .default_service(web::to(method_not_allowed))
}

/// `Allow` header of a path.
struct Allow(String);

async fn options(allow: Data<Allow>) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ALLOW, allow.0.as_str()))
        .finish()
}

async fn method_not_allowed(allow: Data<Allow>) -> HttpResult {
    Err(HttpError::MethodNotAllowed {
        allow: allow.0.clone(),
    })
}
