//! Parts that both servers share: what they listen on, names of hosts, and protection from pages of other sites.

pub mod bind;
pub mod cross_site;
pub mod host;
