//! Middleware.

mod compression;
pub mod etag;
pub mod failure;
pub mod rate_limit;
