//! Confab: a chat backend. ARCHITECTURE.md has the picture.

pub mod activity;
pub mod admin;
pub mod app;
mod breakpoint;
pub mod cli;
pub mod config;
pub mod domain;
pub mod health;
pub mod http;
pub mod measure;
pub mod observe;
pub mod request;
pub mod scrape;
pub mod service;
pub mod shutdown;
pub mod stores;
pub mod supervisor;
pub mod telemetry;
pub mod wake;
pub mod workers;
