//! Routes: one handler each, with its description. One list makes both the server's routes and `/openapi.json`.

mod applications;
mod chats;
pub mod docs;
mod health;
mod messages;
pub mod openapi;
mod search;

use utoipa::{OpenApi, Path, openapi::HttpMethod};

/// Handler that can be put behind the guards of a route.
pub type Handler = fn(actix_web::Route) -> actix_web::Route;

/// One method of one path.
pub struct Route {
    /// Template of the path, such as `/application/{app}`.
    pub path: String,
    /// Method.
    pub method: HttpMethod,
    /// Handler.
    pub handler: Handler,
}

impl Route {
    fn new<D: Path>(handler: Handler) -> Self {
        Self {
            path: D::path(),
            // `utoipa::path` of a handler names exactly one.
            method: D::methods().pop().unwrap_or(HttpMethod::Get),
            handler,
        }
    }
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
                vec![$(Route::new::<$module::[<__path_ $handler>]>(|route| route.to($module::$handler))),+]
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
