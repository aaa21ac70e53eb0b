//! The faults. Each is a function that plays its rounds on a [`crate::ground::Ground`].

pub mod file;
pub mod index;
pub mod outage;
pub mod process;
pub mod reach;
#[cfg(feature = "breakpoints")]
pub mod steps;
pub mod stores;
