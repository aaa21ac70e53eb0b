//! Confab: a chat backend. ARCHITECTURE.md has the picture.

pub mod admin;
pub mod cli;
pub mod config;
pub mod domain;
mod failpoints;
pub mod http;
pub mod maintenance;
pub mod service;
pub mod shutdown;
pub mod startup;
pub mod stores;
pub mod systemd;
pub mod telemetry;
pub mod workers;
