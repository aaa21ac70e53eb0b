//! Routes: one handler each, with its description. One list makes both the server's routes and `/openapi.json`.

mod applications;
mod chats;
pub mod docs;
mod health;
mod listed_message;
mod message_body;
mod messages;
pub mod openapi;
pub mod root;
mod search;

use utoipa::{OpenApi, Path, openapi::HttpMethod};

/// Handler that can be put behind the guards of a route.
pub type Handler = fn(actix_web::Route) -> actix_web::Route;

/// Template of a path, method and handler.
pub struct Route {
    pub path: String,
    pub methods: Vec<HttpMethod>,
    pub handler: Handler,
}

/// Defines `all` and `Description` from one list of handlers. A handler without `#[utoipa::path]` does not compile.
macro_rules! routes {
    ($($module:ident::$handler:ident),+ $(,)?) => {
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
                    handler: |route| route.to($module::$handler),
                }),+]
            }
        }
    };
}

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
    health::up,
    health::ready,
    openapi::show,
];
