//! What the test suites share: a [`Fixture`] with stores for each test, [`Process`]es of the real binary on it, a
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
mod dedicated_redis;
mod fixture;
mod process;
mod proxy;
mod services;
mod wait;

pub use browser::Browser;
pub use client::{App, Chat, Client, Response, check_time};
pub use dedicated_redis::DedicatedRedis;
pub use fixture::{BackendKind, Fixture, StoreLocation, run, run_at};
pub use process::{CommandOutput, Process, free_port};
pub use proxy::Proxy;
pub use services::{Elasticsearch, Servers, Services};
pub use wait::{TIMEOUT, concurrently, eventually, eventually_eq};

/// `#[apply(on_each_backend!)]` makes two tests of an `async fn NAME(fixture: &Fixture)`, each on stores of its own:
/// `NAME::services` and `NAME::embedded`.
///
/// Tests on the services are ignored unless `--include-ignored` is given, as `make test` does. To add a backend, add a
/// function here.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_each_backend {
    ($(#[$attribute:meta])* async fn $name:ident($fixture:ident: $type:ty) $test:block) => {
        $(#[$attribute])*
        async fn $name($fixture: $type) $test

        mod $name {
            #[test]
            #[ignore = "needs MySQL, Redis and Elasticsearch: make test"]
            fn services() {
                $crate::support::run($crate::support::BackendKind::Services, super::$name);
            }

            #[test]
            fn embedded() {
                $crate::support::run($crate::support::BackendKind::Embedded, super::$name);
            }
        }
    };
}

/// As `on_each_backend`, for tests that also need a browser.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_each_backend_in_browser {
    ($(#[$attribute:meta])* async fn $name:ident($fixture:ident: $type:ty) $test:block) => {
        $(#[$attribute])*
        async fn $name($fixture: $type) $test

        mod $name {
            #[test]
            #[ignore = "needs Chromium, MySQL, Redis and Elasticsearch: make test"]
            fn services() {
                $crate::support::run($crate::support::BackendKind::Services, super::$name);
            }

            #[test]
            #[ignore = "needs Chromium: make test"]
            fn embedded() {
                $crate::support::run($crate::support::BackendKind::Embedded, super::$name);
            }
        }
    };
}

/// `#[apply(on_services!)]`: for behaviour that only the services have, such as one unreachable store. Makes `NAME::services`.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_services {
    ($(#[$attribute:meta])* async fn $name:ident($fixture:ident: $type:ty) $test:block) => {
        $(#[$attribute])*
        async fn $name($fixture: $type) $test

        mod $name {
            #[test]
            #[ignore = "needs MySQL, Redis and Elasticsearch: make test"]
            fn services() {
                $crate::support::run($crate::support::BackendKind::Services, super::$name);
            }
        }
    };
}

/// `#[apply(on_embedded!)]`: for behaviour that only the embedded backend has, such as a damaged file. Makes
/// `NAME::embedded`.
#[allow(unused_macros, reason = "not every suite uses it")]
macro_rules! on_embedded {
    ($(#[$attribute:meta])* async fn $name:ident($fixture:ident: $type:ty) $test:block) => {
        $(#[$attribute])*
        async fn $name($fixture: $type) $test

        mod $name {
            #[test]
            fn embedded() {
                $crate::support::run($crate::support::BackendKind::Embedded, super::$name);
            }
        }
    };
}

pub use macro_rules_attribute::apply;
pub(crate) use {on_each_backend, on_each_backend_in_browser, on_embedded, on_services};
