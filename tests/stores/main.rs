//! The storage layer on each backend, in-process: queue, rows and index.

#[path = "../search_table/mod.rs"]
mod search_table;
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod applications;
mod auth;
mod changes;
mod credentials;
mod deletions;
mod embedded_deletion;
mod epochs;
mod erasure;
mod eviction;
mod facts;
mod health;
mod index;
mod model;
mod queue;
mod retention;
mod rows;
mod search;
mod test_stores;
