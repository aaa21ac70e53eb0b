//! Middleware: steps that many routes share, each around the handler.

pub mod compression;
pub mod etag;
pub mod rate_limit;
