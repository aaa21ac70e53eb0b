//! Routes: one handler each, with its access rule and its description. One list makes both the server's routes and
//! `/openapi.json`.

mod applications;
mod chats;
pub mod docs;
mod health;
mod keys;
mod listed_message;
mod message_body;
mod messages;
pub mod openapi;
pub mod root;
mod search;
mod tokens;

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
    pub handler: Handler,
}

/// Defines `all` and `Description` from one list of handlers. A handler without an access rule or `#[utoipa::path]` does not
/// compile.
macro_rules! routes {
    ($($module:ident::$handler:ident: $access:expr),+ $(,)?) => {
        /// Descriptions of all routes, with the schemas that they refer to.
        #[derive(OpenApi)]
        #[openapi(paths($($module::$handler),+))]
        pub struct Description;

        /// All routes. Those of one path are adjacent.
        pub fn all() -> Vec<Route> {
            pastey::paste! {
                vec![$(Route {
                    path: $module::[<__path_ $handler>]::path(),
                    methods: $module::[<__path_ $handler>]::methods(),
                    rule: Rule {
                        access: $access,
                        has_body: $module::[<__path_ $handler>]::operation().request_body.is_some(),
                    },
                    handler: |route| route.to($module::$handler),
                }),+]
            }
        }
    };
}

routes![
    applications::create: Access::NewApplication,
    applications::list: Access::InstallationKey(Action::Read),
    applications::show: Access::WholeApplication,
    keys::create: Access::InstallationKey(Action::Write),
    keys::list: Access::InstallationKey(Action::Read),
    keys::expire: Access::InstallationKey(Action::Write),
    keys::revoke: Access::InstallationKey(Action::Write),
    tokens::create: Access::ApplicationKey(Action::Write),
    tokens::revoke: Access::Key(Action::Write),
    chats::create: Access::Member(Action::CreateChat),
    chats::list: Access::Member(Action::Read),
    chats::create_in_list: Access::Member(Action::CreateChat),
    chats::show: Access::Member(Action::Read),
    messages::create: Access::Member(Action::Write),
    messages::list: Access::Member(Action::Read),
    messages::show: Access::Member(Action::Read),
    messages::update: Access::Member(Action::Write),
    search::by_parameter: Access::Member(Action::Read),
    search::by_path: Access::Member(Action::Read),
    health::up: Access::Public,
    health::ready: Access::Public,
    openapi::show: Access::Public,
];

/// The routes that exist in a mode.
pub fn of(mode: AuthMode) -> Vec<Route> {
    let mut routes = all();
    routes.retain(|route| mode == AuthMode::Required || route.rule.access.exists_in_open_mode());
    routes
}
