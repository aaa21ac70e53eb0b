//! The contract of the HTTP API, told to the real process over the wire.
//!
//! Every module is a chapter of the contract; every test is run on each backing, on stores of its own.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod backups;
mod browsers;
mod commands;
mod concurrency;
mod configuration;
mod counts;
mod creation;
mod dashboard;
mod description;
mod docs;
mod doctor;
mod durability;
mod errors;
mod file;
mod http;
mod jobs;
mod limits;
mod lists;
mod load;
mod log;
mod metrics;
mod outages;
mod overload;
mod paths;
mod readiness;
mod reading;
mod rebuild;
mod repair;
mod schemathesis;
mod search;
mod shutdown;
// What workers do when they fail at a given step, which only the tests' build can.
#[cfg(feature = "breakpoints")]
mod supervision;
#[cfg(feature = "breakpoints")]
mod systemd;
mod updates;
mod upgrades;
