//! Middleware.

pub mod access;
mod compression;
pub mod cross_site;
pub mod etag;
pub mod failure;
pub mod rate_limit;
