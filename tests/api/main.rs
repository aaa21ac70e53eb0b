//! The contract of the HTTP API and of the commands, tested on the real binary.
//!
//! Every module is a topic; a test runs on each backend, on a server that tests share or on stores of its own.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod admin;
mod backups;
mod browsers;
mod caching;
mod changes;
mod commands;
mod concurrency;
mod conditions;
mod configuration;
mod costly_search;
mod counts;
mod creation;
mod cross_site;
mod dashboard;
mod deletion;
mod description;
mod docs;
mod doctor;
mod durability;
mod erased_content;
mod erasure;
mod error_order;
mod errors;
mod eviction;
mod failover;
mod file;
mod file_access;
mod file_loss;
mod http;
mod idempotency;
mod jobs;
mod key_routes;
mod keys;
mod limits;
mod listeners;
mod lists;
mod load;
mod log;
mod metrics;
mod outages;
mod outputs;
mod overload;
mod paths;
mod proxied;
mod readiness;
mod reading;
mod rebuild;
mod rejections;
mod repair;
mod schemathesis;
mod search;
mod secrecy;
mod sender;
mod shutdown;
mod signing;
mod slow_bodies;
mod slow_readers;
// Planned failures need the tests' build.
#[cfg(feature = "breakpoints")]
mod supervision;
#[cfg(feature = "breakpoints")]
mod systemd;
mod tls;
mod tokens;
mod updates;
mod upgrades;
mod waiting;
