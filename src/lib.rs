//! Confab: a chat backend with an HTTP API for applications, chats, messages and search.
//!
//! A write is accepted into a durable queue and can be read at once; workers store it in the background. Data is kept in
//! one SQLite file, or in MySQL, Redis and Elasticsearch. A module uses only modules above it or to its left:
//!
//! | module | contents |
//! |---|---|
//! | [`domain`], [`config`] | types and rules without I/O; settings |
//! | `listener` | sockets and connections, names of hosts, protection from pages of other sites |
//! | [`telemetry`], [`systemd`] | log, metrics, worker status; notifications to systemd |
//! | [`stores`] | queue, rows and search index of both backends, behind [`stores::Backend`] |
//! | [`auth`] | credentials: who is let in |
//! | [`service`], [`maintenance`] | use cases of the API; those of operators |
//! | `readiness` | readiness of the process |
//! | [`workers`], [`http`], [`admin`] | background jobs; server of the API; dashboard and metrics |
//! | [`shutdown`], [`startup`], [`cli`] | signals; wiring of a process; command line |
//!
//! Start with [`domain::job`], the table of all writes, follow one from [`service::Service`] through
//! [`stores::Backend::enqueue`] to [`workers`], and see `ARCHITECTURE.md` for the design.

pub mod admin;
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
mod failpoints;
pub mod http;
mod listener;
pub mod maintenance;
mod readiness;
pub mod service;
pub mod shutdown;
pub mod startup;
pub mod stores;
pub mod systemd;
pub mod telemetry;
pub mod workers;
