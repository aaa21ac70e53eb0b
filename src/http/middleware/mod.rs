//! Middleware.

mod compression;
pub mod etag;
pub mod rate_limit;
