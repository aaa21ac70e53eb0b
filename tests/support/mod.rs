//! Shared parts of the test suites: a [`Fixture`] with stores for each test, [`Process`]es of the real binary on it, a
//! [`Client`] of their API, and a [`Proxy`] between them and their stores.
//!
//! A suite includes it with `#[path = "../support/mod.rs"] mod support;` at the root of its crate.

#![allow(
    dead_code,
    unused_imports,
    reason = "each suite uses the part that it needs"
)]

mod browser;
mod client;
pub mod credentials;
mod dedicated_mysql;
mod dedicated_redis;
mod fixture;
mod follower;
mod nginx;
mod process;
mod proxy;
mod server;
mod services;
mod tls;
mod wait;

pub use browser::Browser;
pub use client::{App, Chat, Client, Response, check_time};
pub use dedicated_mysql::DedicatedMysql;
pub use dedicated_redis::{DedicatedRedis, Sentinel};
pub use fixture::{BackendKind, Fixture, StoreLocation, run, run_at};
pub use follower::{Copy, Follower};
pub use nginx::{Nginx, PREFIX};
pub use process::{CommandOutput, Process, free_port};
pub use proxy::Proxy;
pub use server::{Server, run_on_guarded_server, run_on_server};
pub use services::{Elasticsearch, Servers, Services};
pub use tls::{Authority, Identity, TlsProxy};
pub use wait::{TIMEOUT, concurrently, eventually, eventually_eq};

/// Makes the tests of an `async fn NAME(fixture: &Fixture)`: `NAME::TEST` for each `TEST` in the list, called by `$run`. The
/// macros below give both; to add a backend, add a line to their lists.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! backend_tests {
    (
        $run:ident
        [$($(#[$ignore:meta])? $test:ident: $backend:ident),+]
        $(#[$attribute:meta])* async fn $name:ident($fixture:ident: $type:ty) $body:block
    ) => {
        $(#[$attribute])*
        async fn $name($fixture: $type) $body

        mod $name {
            $(
                #[test]
                $(#[$ignore])?
                fn $test() {
                    $crate::support::$run($crate::support::BackendKind::$backend, super::$name);
                }
            )+
        }
    };
}

/// `#[apply(on_each_backend!)]` makes `NAME::services` and `NAME::embedded`. Tests on the services are ignored unless
/// `--include-ignored` is given, as `make test` does.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_each_backend {
    ($($test:tt)*) => {
        $crate::support::backend_tests! {
            run
            [
                #[ignore = "needs MySQL, Redis and Elasticsearch: make test"]
                services: Services,
                embedded: Embedded
            ]
            $($test)*
        }
    };
}

/// `#[apply(on_each_server!)] async fn NAME(server: &Server)`: as `on_each_backend`, on a server that such tests share. For
/// tests that need no settings, stores or processes of their own.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_each_server {
    ($($test:tt)*) => {
        $crate::support::backend_tests! {
            run_on_server
            [
                #[ignore = "needs MySQL, Redis and Elasticsearch: make test"]
                services: Services,
                embedded: Embedded
            ]
            $($test)*
        }
    };
}

/// `#[apply(on_each_guarded_server!)]`: as `on_each_server`, on a server in required mode. Its client has an installation key.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_each_guarded_server {
    ($($test:tt)*) => {
        $crate::support::backend_tests! {
            run_on_guarded_server
            [
                #[ignore = "needs MySQL, Redis and Elasticsearch: make test"]
                services: Services,
                embedded: Embedded
            ]
            $($test)*
        }
    };
}

/// As `on_each_backend`, for tests that also need a browser.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_each_backend_in_browser {
    ($($test:tt)*) => {
        $crate::support::backend_tests! {
            run
            [
                #[ignore = "needs Chromium, MySQL, Redis and Elasticsearch: make test"]
                services: Services,
                #[ignore = "needs Chromium: make test"]
                embedded: Embedded
            ]
            $($test)*
        }
    };
}

/// `#[apply(on_embedded_behind_proxy!)]`: as `on_embedded`, for tests that need nginx, and often a browser. Makes
/// `NAME::embedded`.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_embedded_behind_proxy {
    ($($test:tt)*) => {
        $crate::support::backend_tests! {
            run
            [
                #[ignore = "needs nginx and Chromium: make test"]
                embedded: Embedded
            ]
            $($test)*
        }
    };
}

/// `#[apply(on_services!)]`: for behaviour that only the services have, such as one unreachable store. Makes `NAME::services`.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_services {
    ($($test:tt)*) => {
        $crate::support::backend_tests! {
            run
            [
                #[ignore = "needs MySQL, Redis and Elasticsearch: make test"]
                services: Services
            ]
            $($test)*
        }
    };
}

/// `#[apply(on_embedded!)]`: for behaviour that only the embedded backend has, such as a damaged file. Makes
/// `NAME::embedded`.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_embedded {
    ($($test:tt)*) => {
        $crate::support::backend_tests! { run [embedded: Embedded] $($test)* }
    };
}

pub use macro_rules_attribute::apply;
pub(crate) use {
    backend_tests, on_each_backend, on_each_backend_in_browser, on_each_guarded_server,
    on_each_server, on_embedded, on_embedded_behind_proxy, on_services,
};
