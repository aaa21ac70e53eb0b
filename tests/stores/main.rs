//! What the traits of `stores` promise, on each backing: the queue, the rows and the index, without the program around
//! them.

#[path = "../search_table/mod.rs"]
mod search_table;
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod epochs;
mod index;
mod model;
mod pings;
mod queue;
mod records;
mod rig;
mod search;
