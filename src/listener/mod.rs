//! Parts that both listeners share: names of hosts, and protection from pages of other sites.

pub mod cross_site;
pub mod host;
