//! The parts of the benchmark.

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
    fixture::{BackendKind, Fixture},
    report::Report,
    resources::ResourceMonitor,
    stores::Stores,
    wrk::{Load, Measurement},
};

/// The default number of connections.
pub const CONNECTIONS: u32 = 64;

/// The duration of a run of wrk in seconds.
pub const SECONDS: f64 = 2.0;

/// Starts the program without workers: accepted jobs stay in the queue.
pub const NO_WORKERS: [(&str, &str); 1] = [("CONFAB_WORKERS__ENABLED", "false")];

/// Configuration and results of the benchmark.
pub struct Bench {
    pub stores: Stores,
    /// The number of rounds; compared measurements take turns in each.
    pub rounds: usize,
    /// The factor of all amounts of data.
    pub scale: f64,
    pub report: Report,
}

impl Bench {
    pub fn fixture(&self, backend: BackendKind) -> Fixture {
        Fixture::new(backend, &self.stores)
    }

    /// A number of messages, scaled.
    pub fn messages(&self, messages: u64) -> u64 {
        ((messages as f64 * self.scale) as u64).max(1000)
    }

    /// A number of seconds, scaled.
    pub fn seconds(&self, seconds: f64) -> f64 {
        (seconds * self.scale.min(1.0)).max(1.0)
    }

    /// Loads the program, and reports requests per second and resource usage.
    pub fn load(
        &mut self,
        name: &str,
        fixture: &Fixture,
        process: &Process,
        load: &Load,
        connections: u32,
    ) -> Result<Measurement> {
        self.load_for(name, fixture, process, load, connections, SECONDS)
    }

    /// Like [`Self::load`], for a number of seconds.
    pub fn load_for(
        &mut self,
        name: &str,
        fixture: &Fixture,
        process: &Process,
        load: &Load,
        connections: u32,
        seconds: f64,
    ) -> Result<Measurement> {
        let length = load.check(process.port, connections)?;
        let monitor = ResourceMonitor::begin(fixture.monitored(&[process]));
        let measurement = load.run(process.port, connections, seconds, length)?;
        self.report.add(name, "/s", measurement.per_second);
        self.report
            .add_usages(name, monitor.end(measurement.requests));
        Ok(measurement)
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
        let measurement = load.run(process.port, connections, SECONDS, length)?;
        self.report.add(name, "/s", measurement.per_second);
        Ok(())
    }
}
