//! Parts that both servers share: what they listen on, the server below their routes, names of hosts, and protection from
//! pages of other sites.

pub mod bind;
mod connection;
pub mod cross_site;
pub mod host;
mod rejection;
pub mod server;
