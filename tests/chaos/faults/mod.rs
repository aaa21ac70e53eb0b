//! The faults. Each is a function that plays its rounds on a [`crate::ground::Ground`].

pub mod process;
pub mod stores;
