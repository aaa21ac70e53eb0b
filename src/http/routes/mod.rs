//! Routes: one handler each, with its access rule and its description. One list makes both the server's routes and
//! `/openapi.json`.

mod applications;
mod changes;
mod chats;
pub mod docs;
mod erasure;
mod health;
mod keys;
mod listed_message;
mod message_body;
mod messages;
pub mod openapi;
pub mod root;
mod search;
mod tokens;
mod user_body;

use std::collections::HashSet;

use utoipa::{OpenApi, Path, openapi::HttpMethod};

use super::middleware::access::Rule;
use crate::auth::{Access, AuthMode, token::Action};

/// Handler that can be put behind the guards of a route.
pub type Handler = fn(actix_web::Route) -> actix_web::Route;

/// Template of a path, methods, access rule and handler.
pub struct Route {
    pub path: String,
    pub methods: Vec<HttpMethod>,
    pub rule: Rule,
    /// `None` if the route does not exist in the mode, and others of its path do.
    pub handler: Option<Handler>,
}

/// Defines `all` and `Description` from one list of handlers. A handler without an access rule or `#[utoipa::path]` does not
/// compile.
macro_rules! routes {
    ($($module:ident::$handler:ident: $access:expr),+ $(,)?) => {
        /// Descriptions of all routes, with the schemas that they refer to.
        #[derive(OpenApi)]
        #[openapi(paths($($module::$handler),+))]
        pub struct Description;

        /// All routes. Those of one path are adjacent. The server compares a path with one template after the other, so the
        /// most frequent ones come first.
        pub fn all() -> Vec<Route> {
            pastey::paste! {
                vec![$(Route {
                    path: $module::[<__path_ $handler>]::path(),
                    methods: $module::[<__path_ $handler>]::methods(),
                    rule: Rule {
                        access: $access,
                        has_body: $module::[<__path_ $handler>]::operation().request_body.is_some(),
                    },
                    handler: Some(|route| route.to($module::$handler)),
                }),+]
            }
        }
    };
}

routes![
    messages::create: Access::Member(Action::Write),
    messages::show: Access::Member(Action::Read),
    messages::update: Access::Member(Action::Write),
    messages::delete: Access::Member(Action::Write),
    messages::list: Access::Member(Action::Read),
    search::by_parameter: Access::Member(Action::Read),
    search::by_path: Access::Member(Action::Read),
    chats::show: Access::Member(Action::Read),
    chats::delete: Access::Server(Action::Write),
    chats::create: Access::Member(Action::CreateChat),
    chats::list: Access::Member(Action::Read),
    chats::create_in_list: Access::Member(Action::CreateChat),
    changes::list: Access::Member(Action::Read),
    applications::show: Access::WholeApplication,
    applications::delete: Access::InstallationKey(Action::Write),
    applications::create: Access::NewApplication,
    applications::list: Access::InstallationKey(Action::Read),
    erasure::create: Access::Key(Action::Write),
    tokens::create: Access::ApplicationKey(Action::Write),
    tokens::revoke: Access::Key(Action::Write),
    keys::create: Access::InstallationKey(Action::Write),
    keys::list: Access::InstallationKey(Action::Read),
    keys::expire: Access::InstallationKey(Action::Write),
    keys::revoke: Access::InstallationKey(Action::Write),
    health::up: Access::Public,
    health::ready: Access::Public,
    openapi::show: Access::Public,
];

/// The routes of the paths that exist in a mode.
pub fn of(mode: AuthMode) -> Vec<Route> {
    let exists =
        |route: &Route| mode == AuthMode::Required || route.rule.access.exists_in_open_mode();
    let mut routes = all();
    let paths: HashSet<String> = routes
        .iter()
        .filter(|route| exists(route))
        .map(|route| route.path.clone())
        .collect();
    routes.retain(|route| paths.contains(&route.path));
    for route in &mut routes {
        if !exists(route) {
            route.handler = None;
        }
    }
    routes
}
