//! What the test suites share: a [`Site`] with stores of its own for every test, [`Process`]es of the real binary on
//! it, a [`Client`] to talk to them, and a [`Proxy`] to come between them and their stores.
//!
//! A suite mounts it with `#[path = "../support/mod.rs"] mod support;` at the root of its crate.

#![allow(
    dead_code,
    unused_imports,
    reason = "each suite uses the part that it needs"
)]

mod browser;
mod client;
mod own_redis;
mod process;
mod proxy;
mod services;
mod site;
mod wait;

pub use browser::Browser;
pub use client::{Answer, App, Chat, Client, check_time};
pub use own_redis::OwnRedis;
pub use process::{Finished, Process, free_port};
pub use proxy::Proxy;
pub use services::{Elasticsearch, Servers, Services};
pub use site::{Backing, Place, Site, run, run_at};
pub use wait::{PATIENCE, eventually, settles, together};

/// Makes a test of each `async fn name(site: &Site)` on each backing: `services::name` and `embedded::name`. With nothing
/// installed, `cargo test` runs the embedded half and says how many it ignores; `make test` runs all.
///
/// This list is what "the same tests on every backing" means: a backing is added here, by a line. A function that is
/// not listed is dead code, which the compiler reports.
#[allow(unused_macros, reason = "the fault suite lists its trials itself")]
macro_rules! on_each_backing {
    ($($name:ident),+ $(,)?) => {
        mod services {
            $(
                #[test]
                #[ignore = "wants MySQL, Redis and Elasticsearch: make test"]
                fn $name() {
                    $crate::support::run($crate::support::Backing::Services, super::$name);
                }
            )+
        }

        mod embedded {
            $(
                #[test]
                fn $name() {
                    $crate::support::run($crate::support::Backing::Embedded, super::$name);
                }
            )+
        }
    };
}

/// As `on_each_backing`, of what wants a browser too.
#[allow(unused_macros, reason = "one suite alone needs it")]
macro_rules! in_a_browser {
    ($($name:ident),+ $(,)?) => {
        mod services {
            $(
                #[test]
                #[ignore = "wants Chromium, MySQL, Redis and Elasticsearch: make test"]
                fn $name() {
                    $crate::support::run($crate::support::Backing::Services, super::$name);
                }
            )+
        }

        mod embedded {
            $(
                #[test]
                #[ignore = "wants Chromium: make test"]
                fn $name() {
                    $crate::support::run($crate::support::Backing::Embedded, super::$name);
                }
            )+
        }
    };
}

/// Makes `only_services::name`, … of what only the three services can do: be out of reach one by one, or disagree.
#[allow(unused_macros, reason = "the fault suite lists its trials itself")]
macro_rules! on_services {
    ($($name:ident),+ $(,)?) => {
        mod only_services {
            $(
                #[test]
                #[ignore = "wants MySQL, Redis and Elasticsearch: make test"]
                fn $name() {
                    $crate::support::run($crate::support::Backing::Services, super::$name);
                }
            )+
        }
    };
}

/// Makes `only_embedded::name`, … of what only a file can be.
#[allow(unused_macros, reason = "one suite alone needs it")]
macro_rules! on_embedded {
    ($($name:ident),+ $(,)?) => {
        mod only_embedded {
            $(
                #[test]
                fn $name() {
                    $crate::support::run($crate::support::Backing::Embedded, super::$name);
                }
            )+
        }
    };
}

pub(crate) use {in_a_browser, on_each_backing, on_embedded, on_services};
