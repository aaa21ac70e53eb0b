//! What is measured, one group after another.

pub mod accept;
pub mod drain;
pub mod draining;
pub mod growth;
pub mod memory;
pub mod mixed;
pub mod processes;
pub mod reads;

use anyhow::Result;

use crate::{
    confab::Process,
    ground::{Backing, Ground},
    measure::Watch,
    sheet::Sheet,
    stores::Stores,
    wrk::{Load, Seen},
};

/// Connections wherever nothing else is said.
pub const CONNECTIONS: u32 = 64;

/// Seconds of one run of wrk.
pub const SECONDS: f64 = 2.0;

/// What starts the program without workers: what is accepted stays in the queue.
pub const NO_WORKERS: [(&str, &str); 1] = [("CONFAB_WORKERS__ENABLED", "false")];

/// How it is measured, and what came of it.
pub struct Bench {
    pub stores: Stores,
    /// How often each measurement is made, in turn with what it is held against.
    pub rounds: usize,
    /// By what all amounts of data are multiplied.
    pub scale: f64,
    pub sheet: Sheet,
}

impl Bench {
    pub fn ground(&self, backing: Backing) -> Ground {
        Ground::new(backing, &self.stores)
    }

    /// So many messages, at this scale.
    pub fn messages(&self, messages: u64) -> u64 {
        ((messages as f64 * self.scale) as u64).max(1000)
    }

    /// So many seconds, at this scale.
    pub fn seconds(&self, seconds: f64) -> f64 {
        (seconds * self.scale.min(1.0)).max(1.0)
    }

    /// Loads the program, and notes how many requests a second it answered and what that took.
    pub fn load(
        &mut self,
        name: &str,
        ground: &Ground,
        process: &Process,
        load: &Load,
        connections: u32,
    ) -> Result<Seen> {
        self.load_for(name, ground, process, load, connections, SECONDS)
    }

    /// The same for so many seconds.
    pub fn load_for(
        &mut self,
        name: &str,
        ground: &Ground,
        process: &Process,
        load: &Load,
        connections: u32,
        seconds: f64,
    ) -> Result<Seen> {
        let length = load.check(process.port, connections)?;
        let watch = Watch::begin(ground.watched(&[process]));
        let seen = load.run(process.port, connections, seconds, length)?;
        self.sheet.add(name, "/s", seen.per_second);
        self.sheet.add_uses(name, watch.end(seen.requests));
        Ok(seen)
    }

    /// Loads a limit.
    pub fn load_limit(
        &mut self,
        name: &str,
        process: &Process,
        load: &Load,
        connections: u32,
    ) -> Result<()> {
        let length = load.check(process.port, connections)?;
        let seen = load.run(process.port, connections, SECONDS, length)?;
        self.sheet.add(name, "/s", seen.per_second);
        Ok(())
    }
}
