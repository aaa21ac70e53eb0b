//! The faults. Each is a function that runs its rounds on a [`crate::trial::Trial`].

pub mod connection;
pub mod failover;
pub mod file;
pub mod index;
pub mod outage;
pub mod process;
#[cfg(feature = "breakpoints")]
pub mod steps;
pub mod stores;
